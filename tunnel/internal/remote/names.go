package remote

import (
	"context"
	"net/netip"
	"sync"
)

// Names remembers which addresses each remote had last, for when its name cannot be looked up: the name servers may be behind the
// line that is lost, or behind the tunnel itself. Whoever is there by now has to prove that it is the peer, so an old address
// does no harm. The zero Names remembers nothing yet. Its methods may be called from any goroutine.
type Names struct {
	mu   sync.Mutex
	last map[string][]netip.AddrPort // by network and remote
}

// Resolver returns what asks r, and where that fails returns the addresses that the remote had last together with the error.
func (n *Names) Resolver(r Resolver) Resolver {
	return func(ctx context.Context, network, remote string) ([]netip.AddrPort, error) {
		addrs, err := r(ctx, network, remote)
		n.mu.Lock()
		defer n.mu.Unlock()
		key := network + " " + remote
		if err != nil {
			return n.last[key], err
		}
		if n.last == nil {
			n.last = make(map[string][]netip.AddrPort)
		}
		n.last[key] = addrs
		return addrs, nil
	}
}
