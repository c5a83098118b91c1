package protocol

import (
	"crypto/cipher"
	"crypto/rand"
	"crypto/subtle"
	"encoding/binary"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/crypto/chacha20poly1305"
)

// cookieLifetime is how long a cookie is good, at both ends (section 5.4.7).
const cookieLifetime = 120 * time.Second

// macKeys are what handshake messages to the owner of a public key are
// authenticated with: they prove that the sender knows the key, no more.
type macKeys struct {
	mac1, cookie [hashLen]byte
}

func newMACKeys(k *PublicKey) macKeys {
	return macKeys{mac1: hashOf([]byte(labelMAC1), k[:]), cookie: hashOf([]byte(labelCookie), k[:])}
}

// match reports whether an initiation or a response is for the owner of these keys.
func (k *macKeys) match(msg []byte) bool {
	at := len(msg) - macsLen
	mac := keyedMAC(k.mac1[:], msg[:at])
	return equal(mac[:], msg[at:at+macLen])
}

// guard decides which handshake messages are worth the work that they ask for
// (section 5.3). It may be used by several goroutines at once.
type guard struct {
	mu       sync.Mutex
	secret   [hashLen]byte // that cookies are made with
	secretAt time.Time
	load     load
}

type verdict int

const (
	pass verdict = iota
	refuse
	demandCookie
)

// check judges an initiation or a response to us that came from an address.
func (g *guard) check(now time.Time, from netip.AddrPort, msg []byte) verdict {
	at := len(msg) - macsLen
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.load.under(now) {
		return pass
	}
	cookie := g.cookieLocked(now, from)
	if mac := keyedMAC(cookie[:], msg[:at+macLen]); !equal(mac[:], msg[at+macLen:]) {
		if !g.load.cookies.take(now, cookies, cookies/5) {
			return refuse
		}
		return demandCookie
	}
	if !g.load.allow(now, from.Addr()) {
		return refuse
	}
	return pass
}

// cookieLocked returns the cookie of an address and port.
func (g *guard) cookieLocked(now time.Time, from netip.AddrPort) [macLen]byte {
	if g.secretAt.IsZero() || now.Sub(g.secretAt) >= cookieLifetime {
		rand.Read(g.secret[:])
		g.secretAt = now
	}
	ip := from.Addr().As16()
	return keyedMAC(g.secret[:], binary.BigEndian.AppendUint16(ip[:], from.Port()))
}

// reply makes the cookie message for a handshake message without a valid cookie,
// which was to the owner of keys.
func (g *guard) reply(now time.Time, from netip.AddrPort, keys *macKeys, msg []byte) []byte {
	g.mu.Lock()
	cookie := g.cookieLocked(now, from)
	g.mu.Unlock()
	var nonce [chacha20poly1305.NonceSizeX]byte
	rand.Read(nonce[:])
	out := append(header(make([]byte, 0, cookieLen), typeCookie, senderOf(msg)), nonce[:]...)
	at := len(msg) - macsLen
	return newXAEAD(&keys.cookie).Seal(out, nonce[:], cookie[:], msg[at:at+macLen])
}

// stamper puts the MACs on what this end sends to one peer, and keeps the cookie
// that the peer gave us.
type stamper struct {
	keys     macKeys
	lastMAC1 [macLen]byte
	sent     bool // lastMAC1 is set
	cookie   [macLen]byte
	cookieAt time.Time
}

// stamp appends mac1 and mac2.
func (s *stamper) stamp(now time.Time, msg []byte) []byte {
	s.lastMAC1, s.sent = keyedMAC(s.keys.mac1[:], msg), true
	msg = append(msg, s.lastMAC1[:]...)
	var mac2 [macLen]byte
	if !s.cookieAt.IsZero() && now.Sub(s.cookieAt) < cookieLifetime {
		mac2 = keyedMAC(s.cookie[:], msg)
	}
	return append(msg, mac2[:]...)
}

// take keeps the cookie that answers our last message. The next message carries
// it; nothing is sent at once, or a forged answer could make us.
func (s *stamper) take(now time.Time, m cookieMsg) error {
	if !s.sent {
		return errForged
	}
	cookie, err := newXAEAD(&s.keys.cookie).Open(nil, m.nonce, m.cookie, s.lastMAC1[:])
	if err != nil {
		return errForged
	}
	s.cookie, s.cookieAt, s.sent = [macLen]byte(cookie), now, false
	return nil
}

func newXAEAD(key *[KeyLen]byte) cipher.AEAD {
	a, err := chacha20poly1305.NewX(key[:])
	if err != nil {
		panic(err) // only for keys of another length
	}
	return a
}

func equal(a, b []byte) bool { return subtle.ConstantTimeCompare(a, b) == 1 }
