package wireguard

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"testing"
	"time"

	"warren/tunnel/wireguard/protocol"
)

// Strangers may send from wherever they like, with as many keys: the log stays readable.
func TestStrangersAreBounded(t *testing.T) {
	var log bytes.Buffer
	s := &strangers{log: slog.New(slog.NewTextHandler(&log, nil)), own: protocol.NewPrivateKey().Public}
	now := time.Now()
	lines := func() int { return strings.Count(log.String(), "\n") }
	at := netip.MustParseAddrPort("192.0.2.1:51820")
	stranger := func(b byte) error {
		return fmt.Errorf("wrapped: %w", &protocol.StrangerError{PublicKey: protocol.PublicKey{b}})
	}

	s.note(now, at, errors.New("anything else"))
	if lines() != 0 {
		t.Fatalf("logged what is no news:\n%s", &log)
	}
	for range 3 {
		s.note(now, at, stranger(1))
		s.note(now, at, stranger(2))
		s.note(now, at, protocol.ErrOtherKey)
	}
	if lines() != 3 || !strings.Contains(log.String(), (protocol.PublicKey{2}).String()) {
		t.Fatalf("one line for each of three:\n%s", &log)
	}
	refused := s.refusals.List(now)
	if len(refused) != 1 || refused[0].Source != at.Addr() || refused[0].Count != 9 || refused[0].Reason != textOtherKey {
		t.Errorf("remembered: %+v", refused)
	}
	s.note(now, at, stranger(2))
	if r := s.refusals.List(now); r[0].Reason != "no peer here has its key "+(protocol.PublicKey{2}).String()+": if it is a peer, public_key in its file here is wrong" {
		t.Errorf("remembered: %+v", r)
	}
	for b := range byte(100) {
		s.note(now, at, stranger(b))
	}
	if lines() != maxKeysOfHost {
		t.Fatalf("%d lines about one host, want %d", lines(), maxKeysOfHost)
	}
	from := at.Addr()
	for range 100 {
		from = from.Next()
		s.note(now, netip.AddrPortFrom(from, 9), protocol.ErrOtherKey)
	}
	if lines() != maxStrangers {
		t.Fatalf("%d lines, want %d", lines(), maxStrangers)
	}
	s.note(now.Add(strangerInterval), at, stranger(1))
	if lines() != maxStrangers+1 {
		t.Fatalf("nothing about the first a minute later")
	}
}
