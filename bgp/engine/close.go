package engine

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/osrg/gobgp/v4/api"

	"warren/bgp"
)

// closeTimeout bounds how long a deleted neighbor's session may take to end.
// GoBGP itself gives up on writing the Cease after one second.
const closeTimeout = 3 * time.Second

// dropLocked closes a neighbor's session, with a Cease, in the background: that takes a while when
// the far end is dead. What is to be told of that is pending. Its routes are dropRoutesLocked's.
func (s *Speaker) dropLocked(n *neighbor, says bgp.Farewell) {
	if n.session.shown() == stateEstablished {
		lasted := time.Since(n.session.since)
		s.news.pending = append(s.news.pending, func() { s.logEnded(slog.LevelInfo, n, closedHere, lasted) })
	}
	delete(s.neighbors, n.Name)
	delete(s.byAddr, n.key)
	s.closing[n.key] = n
	s.rib.lags = true
	s.work.Go(func() { s.close(n, says) })
}

// close takes n out of GoBGP. The session is shut down first, and the peer
// deleted only when GoBGP has left Established: deleting it right away can let
// an UPDATE that is being read slip into the table after the peer's routes
// were dropped, where it would stay.
func (s *Speaker) close(n *neighbor, says bgp.Farewell) {
	defer close(n.closed)
	addr := n.PeerAddr.String()
	s.opMu.Lock() // lets addNeighbor finish
	n.stop()
	s.opMu.Unlock()
	s.mu.Lock()
	established, conn, stops := n.session.state == stateEstablished, n.session.conn, s.stopping
	s.mu.Unlock()
	if (stops || says != (bgp.Farewell{})) && conn != nil {
		conn.awaitPeer() // the peer is to have read it before the tunnel goes, or this process
	}
	if established && s.cease(addr, orPlain(says, stops)) == nil {
		select {
		case <-n.down:
		case <-time.After(closeTimeout):
			s.log.Warn("BGP session took too long to close", slog.String("peer", n.Name))
		}
	}
	s.opMu.Lock()
	err := s.server.DeletePeer(s.ctx, &api.DeletePeerRequest{Address: addr})
	err = errors.Join(err, s.policies.forget(n.key))
	s.opMu.Unlock()
	if err != nil {
		s.log.Error("BGP neighbor not removed cleanly", slog.String("peer", n.Name), slog.Any("err", err))
	}
	if conn != nil {
		conn.awaitClosed()
	}
	s.mu.Lock()
	delete(s.closing, n.key)
	s.rib.lags = len(s.closing) > 0
	s.mu.Unlock()
	s.wake() // another neighbor may wait for the address
}

// orPlain is what the peer is told where nobody has said anything: it would show a shutdown as if an operator had asked for it.
func orPlain(says bgp.Farewell, stops bool) bgp.Farewell {
	switch {
	case says != (bgp.Farewell{}):
	case stops:
		says.Text = "the router stops"
	default:
		says.Text = "the tunnel went down there, or the configuration was changed"
	}
	return says
}

// cease has GoBGP end an established session with a Cease.
func (s *Speaker) cease(addr string, says bgp.Farewell) error {
	if says.Reset {
		return s.server.ResetPeer(s.ctx, &api.ResetPeerRequest{Address: addr, Communication: says.Text})
	}
	return s.server.DisablePeer(s.ctx, &api.DisablePeerRequest{Address: addr, Communication: says.Text})
}

// Part waits until the sessions have ended that are to end by now: that what their peers are told of it was
// sent, and, where that has words for people, that the peers have read it or had their time.
func (s *Speaker) Part(ctx context.Context) { s.waitClosed(ctx) }

// waitClosed waits until the neighbors are closed that are being closed now.
func (s *Speaker) waitClosed(ctx context.Context) {
	s.mu.Lock()
	var all []chan struct{}
	for _, n := range s.closing {
		all = append(all, n.closed)
	}
	s.mu.Unlock()
	for _, closed := range all {
		select {
		case <-closed:
		case <-ctx.Done():
			return
		}
	}
}
