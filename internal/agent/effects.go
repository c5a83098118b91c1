package agent

import (
	"context"
	"errors"
	"net/netip"
	"sync"
	"time"

	"warren/bgp"
	"warren/internal/link"
	"warren/tunnel"
	"warren/tunnel/tun"
)

// handles are what there is of tunnels outside the machine. The loop owns them.
type handles struct {
	tunnels map[uint64]handle // those that are open, by their numbers
	besides map[uint64]func() // that end the listening for a peer without IPv6

	slots chan struct{} // how many are opened at once
	// begin runs f in a goroutine of its own. f puts its result into the inbox.
	begin func(f func())
}

type handle struct {
	tunnelHandle
	opened time.Time
}

// openAtOnce is how many tunnels are opened at the same time: the kernel takes
// its time to make an interface, most of it waiting.
const openAtOnce = 32

// partWithin bounds how long a tunnel stays for the end of its BGP session.
const partWithin = 4 * time.Second

func newHandles() handles {
	return handles{
		tunnels: map[uint64]handle{}, besides: map[uint64]func(){}, slots: make(chan struct{}, openAtOnce),
		begin: func(f func()) { go f() },
	}
}

// play has the machine take events, does what comes of them, and lets it take what results,
// until nothing does.
func (l *loop) play(events ...event) {
	for {
		for len(events) > 0 {
			ev := events[0]
			events = events[1:]
			for _, e := range l.m.next(l.now(), ev) {
				events = append(events, l.do(e)...)
			}
		}
		last := l.m.next(l.now(), idle{})
		if len(last) == 0 {
			break
		}
		for _, e := range last {
			events = append(events, l.do(e)...)
		}
	}
	if len(l.waiting) > 0 && !l.m.busy() {
		for _, done := range l.waiting {
			close(done)
		}
		l.waiting = nil
	}
}

// do does one effect. What results at once it returns; what takes its time comes by the inbox.
func (l *loop) do(e effect) []event {
	switch e := e.(type) {
	case logged:
		l.log.Log(context.Background(), e.level, e.text, e.attrs...)
	case happened:
		l.history.Add(e.Event)
	case report:
		l.lines = append(l.lines, e.line)
	case begun:
		l.ready()
	case setHop:
		l.setHop(e)
	case setLate:
		l.setLate(e)
	case wantNeighbors:
		l.followAssigned()
		l.speaker.Want(bgp.Wanted{Neighbors: e.neighbors, Absent: e.absent, Announced: l.own, Assigned: l.state.assigned, Protected: l.state.protected, Farewells: e.farewells})
	case protectEnds:
		l.protect()
		l.applyRoutes()
	case guardTunnels:
		l.guard.SetTunnels(e.names)
	case listen:
		return []event{tried{subject{kind: e.kind}, l.openDoor(e.kind)}}
	case hashPorts:
		return []event{tried{subject{kind: kindFlowHash}, l.hashPorts(e.on)}}
	}
	return l.doOf(e)
}

// doOf does an effect that is about one tunnel.
func (l *loop) doOf(e effect) []event {
	switch e := e.(type) {
	case openTunnel:
		l.openTunnel(e)
	case closeTunnel:
		h := l.handles.tunnels[e.id]
		delete(l.handles.tunnels, e.id)
		l.working.Add(1)
		l.handles.begin(func() {
			defer l.working.Done()
			if e.parts {
				ctx, cancel := context.WithTimeout(context.Background(), partWithin)
				l.speaker.Part(ctx)
				cancel()
			}
			h.Close(e.reason)
			l.inbox.put(closed{e.id})
		})
	case setTrust:
		return []event{trusted{e.id, e.line, l.handles.tunnels[e.id].SetTrust(e.cfg)}}
	case tune:
		l.handles.tunnels[e.id].Tune(e.cfg)
	case setEnds:
		if t, ok := l.handles.tunnels[e.id].tunnelHandle.(keyedTunnel); ok {
			t.SetEnds(e.local, e.peer)
		}
	case tellLost, takeLost:
		l.passOnLost(e)
	case wakeTunnel:
		l.handles.tunnels[e.id].Wake()
	case setAddresses:
		return l.setAddresses(e)
	case judgeAssigned:
		return l.judgeAssigned(e)
	case listenBeside:
		l.listenBeside(e)
	case endBeside:
		if stop := l.handles.besides[e.id]; stop != nil {
			stop()
			delete(l.handles.besides, e.id)
		}
	}
	return nil
}

// openTunnel makes an interface and starts its transport. What the tunnel reports meanwhile
// comes after the result.
func (l *loop) openTunnel(e openTunnel) {
	g := &gate{inbox: &l.inbox}
	l.working.Add(1)
	l.handles.begin(func() {
		defer l.working.Done()
		l.handles.slots <- struct{}{}
		t, err := l.tunnels.Open(e.name, e.cfg, reporter{
			event:  func(ev tunnel.Event) { g.put(tunnelReport{id: e.id, ev: ev}) },
			failed: func(err error) { g.put(tunnelReport{id: e.id, failed: err}) },

			offered: func(addresses []netip.Addr) { g.put(offer{e.id, addresses}) },
			moved:   func(transport, why string) { g.put(moved{e.id, transport, why}) },
			meeting: func(m tunnel.Meeting) { g.put(met{e.id, m}) },

			lost:     func(id tunnel.SessionID) { g.put(lostWay{e.id, id}) },
			peerLost: func(id tunnel.SessionID) { g.put(peerLost{e.id, id}) },
		})
		<-l.handles.slots
		g.open(openResult{id: e.id, tunnel: t, err: err})
	})
}

func (l *loop) setAddresses(e setAddresses) []event {
	addresses, err := l.handles.tunnels[e.id].SetAddresses(e.locals, e.assigned)
	if e.back && (errors.Is(err, link.ErrNotFound) || errors.Is(err, tun.ErrLost)) {
		return nil // the tunnel itself will tell, or the next look
	}
	return []event{addressed{
		id: e.id, number: e.number, back: e.back, addresses: addresses, err: err, noIPv6: errors.Is(err, link.ErrNoIPv6),
	}}
}

// listenBeside waits for a peer without IPv6.
func (l *loop) listenBeside(e listenBeside) {
	stop, err := l.beside(e.ifname, e.ends, func() { l.inbox.put(call{e.id, e.number}) })
	if err != nil { // BGP cannot listen either, and says so
		l.log.Debug("cannot listen for a peer without IPv6", "interface", e.ifname, "err", err)
		return
	}
	l.handles.besides[e.id] = stop
}

// openDoor has a transport listen: an address may come later than the daemon, and a port that
// is taken is no reason not to dial.
func (l *loop) openDoor(k kind) error {
	if k == kindListenWireGuard {
		return l.listen.SetPort(l.cfg.WireGuard.ListenPort)
	}
	return l.listenTLS(l.cfg.TLS.Listen)
}

// close closes all tunnels, also those that are still being opened or closed. run must have returned.
func (l *loop) close(reason string) {
	for _, stop := range l.handles.besides {
		stop()
	}
	l.working.Wait()
	for _, in := range l.inbox.take() {
		if r, ok := in.(openResult); ok && r.err == nil {
			l.handles.tunnels[r.id] = handle{tunnelHandle: r.tunnel}
		}
	}
	var closing sync.WaitGroup
	for _, h := range l.handles.tunnels {
		closing.Go(func() { h.Close(reason) })
	}
	closing.Wait()
}
