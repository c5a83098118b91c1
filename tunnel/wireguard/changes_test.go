package wireguard

import (
	"testing"
	"time"

	"warren/tunnel/wireguard/protocol"
)

// TestKeepalivesDoNotWaitForTheKernel has the kernel keep one end waiting for its carrier, as while another peer's table is
// written: the other end, which has its own, hears it meanwhile. A tunnel that goes down is told at once.
func TestKeepalivesDoNotWaitForTheKernel(t *testing.T) {
	keyA, keyB := protocol.NewPrivateKey(), protocol.NewPrivateKey()
	c := LinkConfig{Keepalive: 20 * time.Millisecond, DeadAfter: patience}
	c.Name, c.PublicKey = "a", keyA.Public()
	b := startEnd(t, keyB, c)
	c.Name, c.PublicKey, c.Remotes = "b", keyB.Public(), []string{b.addr("127.0.0.1")}
	node := startEndpoint(t, Config{PrivateKey: keyA})
	a := node.prepare(c)
	release := a.dev.Hold()
	defer release() // before Run is waited for
	a.stop = node.run(a.l.Run)
	b.next(true)
	before := b.l.peer.Status(time.Now()).Spoke
	for range 20 { // keepalives
		waitFor(t, func() bool { return b.l.peer.Status(time.Now()).Spoke.After(before) }, func() any { return b.l.Status() })
		before = b.l.peer.Status(time.Now()).Spoke
	}
	select {
	case ev := <-a.events:
		t.Fatalf("%+v before there is a carrier", ev)
	default:
	}
	release()
	a.next(true)

	release = a.dev.Hold()
	defer release()
	if err := a.l.SetKeys([]Keys{{PeerPublicKey: protocol.NewPrivateKey().Public()}}); err != nil {
		t.Fatal(err)
	}
	a.next(false)
}
