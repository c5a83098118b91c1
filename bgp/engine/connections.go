package engine

import (
	"context"
	"net"

	"warren/bgp/sockets"
)

// Connections makes the TCP connections of a speaker, or has a process make them that
// may. Its methods may be called from any goroutine.
type Connections interface {
	// Listen opens a listener at n.LocalAddr that only n.Interface reaches.
	Listen(ctx context.Context, n *Neighbor) (net.Listener, error)
	// Dial connects from n.LocalAddr to n.PeerAddr by n.Interface, until ctx is done. An
	// error that is a net.Error with Timeout says that no answer came, one that wraps
	// context.Canceled says nothing.
	Dial(ctx context.Context, n *Neighbor) (*net.TCPConn, error)
}

var _ Connections = sockets.Opener{}
