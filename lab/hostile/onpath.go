package main

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"

	"golang.org/x/crypto/chacha20poly1305"

	"warren/tunnel/wireguard/protocol"
)

const (
	onPathRate  = 2000 // datagrams a second
	maxToForge  = 60   // datagrams of each type that are changed in many ways
	flipsOfData = 40   // bits of each that are changed, one at a time
)

// attackReplay sends the victim all that it was sent, again: from an address of the
// attacker's, where answers would be seen, then as from the peer.
func attackReplay(all []datagram, victim netip.AddrPort) error {
	again := recordedTo(all, victim)
	if err := require(again, wgData); err != nil {
		return err
	}
	return sendBothWays("replayed", again, victim)
}

// attackReflect sends the victim all that it sent.
func attackReflect(all []datagram, victim netip.AddrPort) error {
	own := recordedFrom(all, victim)
	if err := require(own, wgData); err != nil {
		return err
	}
	for i := range own {
		own[i].From, own[i].To = own[i].To, own[i].From
	}
	return sendBothWays("reflected", own, victim)
}

// attackForge sends the victim what it was sent, with bits changed everywhere, cut
// short and made longer.
func attackForge(all []datagram, victim netip.AddrPort) error {
	var forged []datagram
	seen := map[uint32]int{}
	sent := recordedTo(all, victim)
	if err := require(sent, wgData); err != nil {
		return err
	}
	for i := len(sent) - 1; i >= 0; i-- { // the last are of the session that there is
		d := sent[i]
		if typ := wgType(d.Data); seen[typ] < maxToForge {
			seen[typ]++
			forged = append(forged, changed(d)...)
		}
	}
	return sendBothWays("forged", forged, victim)
}

func changed(d datagram) (all []datagram) {
	add := func(b []byte) { all = append(all, datagram{d.From, d.To, b}) }
	bits := len(d.Data) * 8
	for i := range flipsOfData {
		b := bytes.Clone(d.Data)
		bit := i * bits / flipsOfData
		b[bit/8] ^= 1 << (bit % 8)
		add(b)
	}
	if wgType(d.Data) == wgData {
		for _, ahead := range []uint64{1, 1 << 10, 1 << 32, 1 << 63} { // other counters
			b := bytes.Clone(d.Data)
			binary.LittleEndian.PutUint64(b[8:], binary.LittleEndian.Uint64(b[8:])+ahead)
			add(b)
		}
	}
	for _, n := range []int{1, 4, 8, 15, 16, 17, 31, 32, 33, len(d.Data) / 2, len(d.Data) - 1} {
		if n > 0 && n < len(d.Data) {
			add(d.Data[:n])
		}
	}
	add(append(bytes.Clone(d.Data), 0))
	return all
}

// attackCookies answers each initiation that the victim sent with cookies: garbage,
// and one that is right, but for that it is not of whom the initiation was for. Who
// has seen the initiation and knows for which public key it was can make such a one.
func attackCookies(all []datagram, victim netip.AddrPort, key protocol.PublicKey) error {
	var cookies []datagram
	own := recordedFrom(all, victim)
	if err := require(own, wgInitiation); err != nil {
		return err
	}
	cookieKey := macKey("cookie--", key)
	aead, err := chacha20poly1305.NewX(cookieKey[:])
	if err != nil {
		return err
	}
	for _, d := range own {
		if wgType(d.Data) != wgInitiation || len(d.Data) != initiationLen {
			continue
		}
		b := make([]byte, cookieLen)
		rand.Read(b)
		binary.LittleEndian.PutUint32(b, wgCookie)
		copy(b[4:], d.Data[4:8])
		cookies = append(cookies, datagram{d.To, d.From, b})
		right := bytes.Clone(b[:32])
		right = aead.Seal(right, right[8:32], b[32:48], d.Data[mac1At:mac1At+macLen])
		cookies = append(cookies, datagram{d.To, d.From, right})
	}
	return sendBothWays("cookies forged", cookies, victim)
}

// sendBothWays sends datagrams to the victim from an address of the attacker's, and
// then as from where they say.
func sendBothWays(what string, all []datagram, victim netip.AddrPort) error {
	s, err := newSources(1, victim, nil)
	if err != nil {
		return err
	}
	r, err := newRaw()
	if err != nil {
		s.close()
		return err
	}
	defer r.close()
	err = errors.Join(
		paceAll(onPathRate, all, func(_ int, d datagram) error { return s.send(0, d.Data) }),
		paceAll(onPathRate, all, func(_ int, d datagram) error { return r.send(udpPacket(d.From, victim, d.Data)) }),
	)
	if err != nil {
		s.close()
		return err
	}
	counts := map[string]int{}
	for _, d := range all {
		counts[wgNames[wgType(d.Data)]]++
	}
	s.finish(fmt.Sprintf("%s, twice: %v", what, counts))
	return nil
}
