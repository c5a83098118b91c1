package wireguard

import (
	"testing"
	"time"

	"warren/tunnel/wireguard/protocol"
)

// A process that is held up for longer than dead_after, so that what the peer sends waits in the
// socket, does not take the peer for dead, nor begin a handshake because of it.
func TestBusyProcessIsNoDeadPeer(t *testing.T) {
	t.Parallel()
	const dead = 2 * time.Second
	keyA, keyB := protocol.NewPrivateKey(), protocol.NewPrivateKey()
	c := LinkConfig{Name: "a", PublicKey: keyA.Public(), Keepalive: dead / 4, DeadAfter: MaxDeadAfter}
	b := startEnd(t, keyB, c)
	c.Name, c.PublicKey, c.Remotes, c.DeadAfter = "b", keyB.Public(), []string{b.addr("127.0.0.1")}, dead
	a := startEnd(t, keyA, c)
	a.next(true)
	b.next(true)
	status := func() protocol.Status { return a.l.peer.Status(time.Now()) }

	// A peer that is late on a busy machine may be asked for a handshake before: that is waited for.
	var resume func()
	var before protocol.Status
	for {
		resume = a.dev.HoldWrites()
		had := a.l.Status().Stats.RxPackets
		b.dev.Frames <- frame(100, 1) // whose writing holds up all reading
		waitFor(t, func() bool { return a.l.Status().Stats.RxPackets > had }, func() any { return a.l.Status() })
		if before = status(); !before.Trying {
			break
		}
		resume()
		waitFor(t, func() bool { return !status().Trying }, func() any { return status() })
	}
	waitFor(t, func() bool { return time.Since(status().Spoke) > 2*dead }, func() any { return status() })
	if len(a.events) > 0 {
		t.Fatalf("%+v though the peer's packets wait in the socket", <-a.events)
	}
	if s := status(); !s.Since.Equal(before.Since) || s.Trying {
		t.Errorf("a handshake was begun")
	}
	resume()
	waitFor(t, func() bool { return time.Since(status().Spoke) < dead }, func() any { return status() })
	if len(a.events) > 0 {
		t.Errorf("%+v after what waited was read", <-a.events)
	}
}
