package wireguard

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"warren/tunnel/wireguard/protocol"
)

// assignPair returns two ends, b of which assigns addresses, and what a is told of them.
func assignPair(t *testing.T, assign []netip.Addr) (a, b *end, told chan []netip.Addr) {
	t.Helper()
	keyA, keyB := protocol.NewPrivateKey(), protocol.NewPrivateKey()
	one, two := netip.MustParseAddr("fd00::"), netip.MustParseAddr("fd00::1")
	c := LinkConfig{Keepalive: 100 * time.Millisecond, DeadAfter: 10 * time.Second}
	c.Name, c.PublicKey, c.LocalAddress, c.PeerAddress, c.Assign = "a", keyA.Public(), two, one, assign
	b = startEnd(t, keyB, c)
	told = make(chan []netip.Addr, 16)
	c.Name, c.PublicKey, c.LocalAddress, c.PeerAddress, c.Assign = "b", keyB.Public(), one, two, nil
	c.Remotes, c.Offered = []string{b.addr("127.0.0.1")}, func(addrs []netip.Addr) { told <- addrs }
	a = startEnd(t, keyA, c)
	a.next(true)
	b.next(true)
	return a, b, told
}

// TestAssign: this end is told what the peer assigns, be it nothing.
func TestAssign(t *testing.T) {
	for _, want := range [][]netip.Addr{nil, {netip.MustParseAddr("10.100.100.25"), netip.MustParseAddr("2001:db8:100::25")}} {
		_, _, told := assignPair(t, want)
		select {
		case got := <-told:
			if !slices.Equal(got, want) {
				t.Errorf("%v; want %v", got, want)
			}
		case <-time.After(patience):
			t.Fatal("nothing is said")
		}
	}
}

// TestAssignSilence: a peer that answers no such question, as another device does not, assigns
// nothing.
func TestAssignSilence(t *testing.T) {
	keyA, keyB := protocol.NewPrivateKey(), protocol.NewPrivateKey()
	told := make(chan []netip.Addr, 16)
	c := LinkConfig{Keepalive: 100 * time.Millisecond, DeadAfter: 10 * time.Second, Name: "a", PublicKey: keyA.Public()}
	b := startEnd(t, keyB, c) // without addresses it knows no such messages
	c.Name, c.PublicKey, c.LocalAddress, c.PeerAddress = "b", keyB.Public(), netip.MustParseAddr("fd00::"), netip.MustParseAddr("fd00::1")
	c.Remotes, c.Offered = []string{b.addr("127.0.0.1")}, func(addrs []netip.Addr) { told <- addrs }
	startEnd(t, keyA, c).next(true)
	select {
	case got := <-told:
		if len(got) > 0 {
			t.Errorf("%v", got)
		}
	case <-time.After(patience):
		t.Fatal("nothing is said")
	}
}
