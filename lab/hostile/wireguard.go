package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"time"

	"warren/tunnel/wireguard/protocol"
)

// Message types of WireGuard's paper, section 5.4, and their lengths.
const (
	wgInitiation = 1
	wgResponse   = 2
	wgCookie     = 3
	wgData       = 4

	initiationLen = 148
	responseLen   = 92
	cookieLen     = 64
	shortestData  = 32
)

var wgNames = map[uint32]string{wgInitiation: "initiations", wgResponse: "responses", wgCookie: "cookies", wgData: "packets"}

func wgType(b []byte) uint32 {
	if len(b) < 4 {
		return 0
	}
	return binary.LittleEndian.Uint32(b)
}

func attackWireGuard(name string, args []string) error {
	w := &words{left: args}
	var attack func() error
	switch name {
	case "garbage":
		victim := w.addr()
		attack = func() error { return attackGarbage(victim) }
	case "flood":
		victim, key, d := w.addr(), w.key(), w.seconds()
		attack = func() error { return attackFlood(victim, key, d) }
	case "icmp":
		victim, peer := w.addr(), w.addr()
		attack = func() error { return attackICMP(victim, peer) }
	case "record":
		ifname, a, b, d, file := w.next(), w.addr(), w.addr(), w.seconds(), w.next()
		attack = func() error { return record(ifname, a, b, d, file) }
	case "replay":
		recorded, victim := w.recorded(), w.addr()
		attack = func() error { return attackReplay(recorded, victim) }
	case "reflect":
		recorded, victim := w.recorded(), w.addr()
		attack = func() error { return attackReflect(recorded, victim) }
	case "forge":
		recorded, victim := w.recorded(), w.addr()
		attack = func() error { return attackForge(recorded, victim) }
	case "cookies":
		recorded, victim, key := w.recorded(), w.addr(), w.key()
		attack = func() error { return attackCookies(recorded, victim, key) }
	default:
		return fmt.Errorf("wireguard: no attack is called %q", name)
	}
	err := w.end()
	if err == nil {
		err = attack()
	}
	if err != nil {
		return fmt.Errorf("wireguard %s: %w", name, err)
	}
	return nil
}

// words takes the arguments of an attack one by one. Its methods return zero values
// after the first that is wrong, which end tells.
type words struct {
	left []string
	err  error
}

func (w *words) next() string {
	if len(w.left) == 0 {
		w.fail(errors.New("an argument is missing"))
		return ""
	}
	word := w.left[0]
	w.left = w.left[1:]
	return word
}

func (w *words) fail(err error) {
	if w.err == nil {
		w.err = err
	}
}

func (w *words) end() error {
	if len(w.left) > 0 {
		w.fail(fmt.Errorf("%q is one argument too many", w.left[0]))
	}
	return w.err
}

func (w *words) addr() netip.AddrPort {
	addr, err := netip.ParseAddrPort(w.next())
	if err == nil && !addr.Addr().Is4() {
		err = fmt.Errorf("%s: want an IPv4 address", addr)
	}
	if err != nil {
		w.fail(err)
	}
	return addr
}

func (w *words) key() protocol.PublicKey {
	key, err := protocol.ParseKey(w.next())
	if err != nil {
		w.fail(err)
	}
	return key
}

func (w *words) seconds() time.Duration {
	n, err := strconv.ParseUint(w.next(), 10, 8)
	if err != nil {
		w.fail(err)
	}
	return time.Duration(n) * time.Second
}

func (w *words) recorded() []datagram {
	all, err := readRecord(w.next())
	if err != nil {
		w.fail(err)
	}
	return all
}
