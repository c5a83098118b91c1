package bgp

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/osrg/gobgp/v4/api"
)

// closeTimeout bounds how long a deleted neighbor's session may take to end.
// GoBGP itself gives up on writing the Cease after one second.
const closeTimeout = 3 * time.Second

// DeleteNeighbor ends the session with a Cease. The neighbor's routes are gone
// from Routes when it returns, which it does at once: the session itself is
// closed in the background, as that takes a while when the far end is dead.
func (s *Speaker) DeleteNeighbor(_ context.Context, name string) error {
	s.mu.Lock()
	n, ok := s.neighbors[name]
	if !ok {
		s.mu.Unlock()
		return fmt.Errorf("bgp: delete neighbor %s: %w", name, ErrUnknownNeighbor)
	}
	delete(s.neighbors, name)
	delete(s.byAddr, n.key)
	s.closing[n.key] = n
	s.rib.drop(n)
	established, lasted := n.session.state == stateEstablished, time.Since(n.session.since)
	s.work.Go(func() { s.close(n) })
	s.mu.Unlock()
	if established {
		s.logEnded(slog.LevelInfo, n, closedHere, lasted)
	}
	s.notify()
	return nil
}

// close takes n out of GoBGP. The session is shut down first, and the peer
// deleted only when GoBGP has left Established: deleting it right away can let
// an UPDATE that is being read slip into the table after the peer's routes
// were dropped, where it would stay.
func (s *Speaker) close(n *neighbor) {
	defer close(n.closed)
	addr := n.PeerAddr.String()
	s.opMu.Lock() // lets an AddNeighbor of n finish
	n.stop()
	s.opMu.Unlock()
	s.mu.Lock()
	established := n.session.state == stateEstablished
	s.mu.Unlock()
	if established && s.server.DisablePeer(s.ctx, &api.DisablePeerRequest{Address: addr}) == nil {
		select {
		case <-n.down:
		case <-time.After(closeTimeout):
			s.log.Warn("BGP session took too long to close", slog.String("peer", n.Name))
		}
	}
	s.opMu.Lock()
	defer s.opMu.Unlock()
	err := s.server.DeletePeer(s.ctx, &api.DeletePeerRequest{Address: addr})
	if err = errors.Join(err, s.policies.forget(n.key)); err != nil {
		s.log.Error("BGP neighbor not removed cleanly", slog.String("peer", n.Name), slog.Any("err", err))
	}
	s.mu.Lock()
	delete(s.closing, n.key)
	s.mu.Unlock()
	s.notify() // somebody may wait for the address to be free
}

// waitClosed waits until no neighbor is being closed any more.
func (s *Speaker) waitClosed(ctx context.Context) {
	for {
		s.mu.Lock()
		var wait chan struct{}
		for _, n := range s.closing {
			wait = n.closed
		}
		s.mu.Unlock()
		if wait == nil {
			return
		}
		select {
		case <-wait:
		case <-ctx.Done():
			return
		}
	}
}
