package engine

import (
	"context"
	"errors"
	"net"
	"sync/atomic"
	"testing"

	"warren/bgp/sockets"
)

// occupied is Connections that cannot dial, and whose first attempts to listen fail.
type occupied struct {
	sockets.Opener
	left *atomic.Int32
}

func (o occupied) Listen(ctx context.Context, n *Neighbor) (net.Listener, error) {
	if o.left.Add(-1) >= 0 {
		return nil, errors.New("the port is taken")
	}
	return o.Opener.Listen(ctx, n)
}

func (o occupied) Dial(ctx context.Context, _ *Neighbor) (*net.TCPConn, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

// TestListensAgain: a port that was taken is used once it is free, and so a peer that this end
// cannot dial gets its session.
func TestListensAgain(t *testing.T) {
	var left atomic.Int32
	left.Store(2)
	s := startSpeaker(t, 64512, "10.0.0.1", func(c *Config) { c.Connections = occupied{sockets.On(testPort), &left} })
	other := startSpeaker(t, 64513, "10.0.0.2")
	local, peer := testAddrs()
	for _, n := range []struct {
		at *Speaker
		Neighbor
	}{
		{s, Neighbor{Name: "b", LocalAddr: local, PeerAddr: peer, ASN: 64513}},
		{other, Neighbor{Name: "a", LocalAddr: peer, PeerAddr: local, ASN: 64512}},
	} {
		if err := n.at.AddNeighbor(t.Context(), n.Neighbor); err != nil {
			t.Fatal(err)
		}
	}
	waitState(t, s, "b", stateEstablished)
}
