package wireguard

import (
	"net/netip"
	"testing"
	"time"

	"warren/tunnel"
	"warren/tunnel/wireguard/protocol"
)

// The round trip of a tunnel that is up is measured when that is asked for, and what came is counted.
func TestMeasured(t *testing.T) {
	keyA, keyB := protocol.NewPrivateKey(), protocol.NewPrivateKey()
	c := LinkConfig{Keepalive: 100 * time.Millisecond, DeadAfter: 20 * time.Second}
	a4, b4 := netip.MustParseAddr("10.0.0.0"), netip.MustParseAddr("10.0.0.1")
	c.Name, c.PublicKey, c.LocalAddress, c.PeerAddress = "a", keyA.Public(), b4, a4
	b := startEnd(t, keyB, c)
	w := newWire(t, b.addr("127.0.0.1"))
	c.Name, c.PublicKey, c.Remotes, c.LocalAddress, c.PeerAddress = "b", keyB.Public(), []string{w.addr}, a4, b4
	a := startEnd(t, keyA, c)
	a.next(true)
	b.next(true)
	wait := func(what string, ok func() bool) {
		t.Helper()
		waitFor(t, ok, func() any { return what + " not" })
	}
	// The handshake has measured it once: what comes of that is thrown away.
	wait("measured", func() bool {
		a.l.report.Change(func(s *tunnel.Status) { s.RTT = 0 })
		a.l.Measure()
		for until := time.Now().Add(time.Second); time.Now().Before(until); time.Sleep(time.Millisecond) {
			if rtt := a.l.Status().RTT; rtt > 0 && a.l.RoundTrip() > 0 && a.l.RoundTrip() < 10*time.Second {
				return true
			}
		}
		return false
	})
	before := b.l.Received()
	if !before.Up {
		t.Fatalf("%+v", before)
	}
	for range 10 {
		if err := a.l.SendKeepalive(); err != nil {
			t.Fatal(err)
		}
	}
	wait("counted", func() bool {
		r := b.l.Received()
		return r.Got >= before.Got+10 && r.Sent >= r.Got
	})
	wait("missed", func() bool { // what the wire takes while it is dead gets lost
		w.toward.Store(true)
		_ = a.l.SendKeepalive()
		time.Sleep(5 * time.Millisecond)
		w.toward.Store(false)
		_ = a.l.SendKeepalive()
		r := b.l.Received()
		return r.Sent >= r.Got+10
	})
}
