package agent

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"warren/internal/link"
	"warren/internal/status"
	"warren/tunnel"
)

// operate does what an operator asks for, and waits a while until it is done: until tunnels are closed that are
// to be, and the speaker has told the neighbors what is another now.
func (a *Agent) operate(ctx context.Context, l *loop, o status.Order, uid int64) (r status.OrderResult, err error) {
	var settled <-chan struct{}
	if asked := l.ask(ctx, func(context.Context) { r.Lines, err = l.order(o, uid); settled = l.settled() }); asked != nil {
		return r, asked
	}
	if err != nil {
		return r, err
	}
	ctx, cancel := context.WithTimeout(ctx, settleTimeout)
	defer cancel()
	select {
	case <-settled:
	case <-ctx.Done():
	}
	if err := l.speaker.Settle(ctx); err != nil {
		r.Lines = append(r.Lines, fmt.Sprintf("not all is applied yet, and tried again: %v", err))
	}
	return r, nil
}

// order does what an operator asks for. It returns a line for each thing that it did.
func (l *loop) order(o status.Order, uid int64) ([]string, error) {
	if o.Peer != "" && l.m.peers[o.Peer] == nil {
		return nil, fmt.Errorf("%q: %w; `warren status` lists the peers", o.Peer, status.ErrNoPeer)
	}
	l.lines = nil
	l.play(order{do: o.Do, peer: o.Peer, by: uid, long: o.For, message: o.Message})
	l.locate() // what is taken up may be on a network
	l.applyRoutes()
	lines := l.lines
	l.lines = nil
	l.watchDrains(l.now())
	return lines, nil
}

// takeOrders has the orders of the daemon before hold.
func (l *loop) takeOrders() {
	if l.resuming == nil || l.resuming.from.Orders == nil {
		return
	}
	is := newOrders()
	from := l.resuming.from.Orders
	is.Router = from.Router
	for name, d := range from.Drained {
		if d != nil {
			is.Drained[name] = d
		}
	}
	for name, d := range from.Down {
		if d != nil {
			is.Down[name] = d
		}
	}
	l.m.orders = is
}

// keepOrders forgets the orders about peers that there are not any more. Those that come back when a reload is taken back count as
// there.
func (l *loop) keepOrders() {
	l.m.orders.keep(func(peer string) bool {
		return l.cfg.Peer(peer) != nil || l.accepted[peer] != nil ||
			l.unconfirmed != nil && slices.Contains(l.unconfirmed.peers, peer)
	})
}

// checkDown refuses a peer that a CA vouches for while it is taken down.
func (l *loop) checkDown(name string) error {
	if d := l.m.orders.Down[name]; d != nil {
		return fmt.Errorf("an operator has taken it down (%s)", byText(d.By))
	}
	return nil
}

// isHeld reports whether an order holds for a peer.
func (o *orders) isHeld(peer string) bool { return o.Drained[peer] != nil || o.Down[peer] != nil }

// held are the peers for which orders hold, by name.
func (o *orders) held() map[string]bool {
	all := make(map[string]bool, len(o.Drained)+len(o.Down))
	for name := range o.Drained {
		all[name] = true
	}
	for name := range o.Down {
		all[name] = true
	}
	return all
}

// drainStatus and downStatus are what status says of a peer, or, without a name, of the router.
func (l *loop) drainStatus(peer string) *status.Drain {
	d, router := l.m.orders.drainOf(peer)
	if d == nil {
		return nil
	}
	out := &status.Drain{Since: l.at(d.Since), Until: l.at(d.Until), By: byText(d.By), Router: router && peer != ""}
	if q := l.quiet[peer]; q != nil && !q.since.IsZero() {
		out.QuietSince = l.at(q.since)
	}
	return out
}

func (l *loop) downStatus(peer string) *status.TakenDown {
	d := l.m.orders.Down[peer]
	if d == nil {
		return nil
	}
	return &status.TakenDown{Since: l.at(d.Since), By: byText(d.By), Message: d.Message}
}

const (
	// quietFor is how long nothing may go through a drained peer's tunnels until it is without traffic.
	quietFor = 4 * time.Second
	// strayPackets may go each way in that time all the same: the kernel has packets of its own, as for
	// neighbor discovery.
	strayPackets = 1
)

// quiet is what is known of the traffic of a drained peer. The loop owns it.
type quiet struct {
	began  time.Time // of the window that is looked at
	rx, tx uint64    // packets that are not BGP's, when it began
	since  time.Time // since when there is no traffic; zero: there is
}

// watchDrains finds out which drained peers have no traffic left.
func (l *loop) watchDrains(now time.Time) {
	drained := map[string]bool{}
	var ups []*attachment
	var pairs [][2]netip.Addr
	for _, p := range l.m.order {
		if !l.m.orders.isDrained(p.name) || p.attachments[0].isLAN() {
			continue
		}
		drained[p.name] = true
		for _, a := range p.attachments {
			if _, open := l.handles.tunnels[a.id]; open && a.up() {
				ups = append(ups, a)
				pairs = append(pairs, [2]netip.Addr{a.session.local, a.session.peer})
			}
		}
	}
	for name := range l.quiet {
		if !drained[name] {
			delete(l.quiet, name)
		}
	}
	if len(drained) == 0 {
		return
	}
	counted, err := l.segments(pairs, bgpPort)
	if err != nil { // then BGP's packets count as traffic
		l.log.Debug("cannot count the packets of BGP", "err", err)
		counted = make([]link.Segments, len(pairs))
	}
	rx, tx, stray := map[string]uint64{}, map[string]uint64{}, map[string]uint64{}
	for i, a := range ups {
		s := l.handles.tunnels[a.id].Status().Stats
		rx[a.peer.name] += s.RxPackets - min(counted[i].In, s.RxPackets)
		tx[a.peer.name] += s.TxPackets - min(counted[i].Out, s.TxPackets)
		stray[a.peer.name] += a.stray()
	}
	for name := range drained {
		q := l.quiet[name]
		if q == nil {
			q = &quiet{began: now, rx: rx[name], tx: tx[name]}
			l.quiet[name] = q
		}
		q.look(now, rx[name], tx[name], stray[name])
	}
}

// stray is how many packets may go each way over an attachment in quietFor that are no traffic. Over another
// program's interface the echoes count by which a peer is watched.
func (a *attachment) stray() uint64 {
	if a.isExternal() && a.cfg.Keepalive > 0 {
		return strayPackets + uint64(quietFor/a.cfg.Keepalive) + 1
	}
	return strayPackets
}

// look takes the counters of now.
func (q *quiet) look(now time.Time, rx, tx, stray uint64) {
	switch more := max(rx-min(q.rx, rx), tx-min(q.tx, tx)); {
	case more > stray || rx < q.rx || tx < q.tx: // there is traffic, or the counters have begun again
		*q = quiet{began: now, rx: rx, tx: tx}
	case now.Sub(q.began) >= quietFor:
		if q.since.IsZero() {
			q.since = q.began
		}
		q.began, q.rx, q.tx = now, rx, tx
	}
}

// refusals are those since a moment that are news: a peer that is taken down tries again and again.
func (l *loop) refusals(since time.Time) []tunnel.Refusal {
	return slices.DeleteFunc(slices.Clone(l.listen.Refusals(since)), func(r tunnel.Refusal) bool { return l.m.orders.excuses(r.Source, r.Last) })
}
