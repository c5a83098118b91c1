package auto

import (
	"cmp"
	"fmt"
	"strings"
	"sync"
	"time"

	"warren/tunnel"
)

// hintAfter is for how long a transport is not up before the operator is told.
const hintAfter = 30 * time.Second

// guarded is what the link's goroutine has decided, for whoever asks.
type guarded struct {
	mu sync.Mutex
	decided
}

type decided struct {
	chosen    chosen
	loss      float64 // over WireGuard; negative: not known
	ups       [2]bool
	beside    bool // the peer has both transports, as it has said over TLS
	isUp, end bool
	since     time.Time // of isUp
}

// up notes that the tunnel came up or went down.
func (g *guarded) up(at time.Time, isUp bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.isUp, g.since = isUp, at
}

// stop notes that the link does not run any more.
func (g *guarded) stop() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.end = true
}

// set takes over what the link has decided.
func (g *guarded) set(now time.Time, l *Link) {
	c := l.choice
	loss, sent := c.losses.rate(now, proofTicks*l.tick)
	if sent < lossyEach {
		loss = -1
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.chosen, g.loss = c.chosen, loss
	g.ups, g.beside = l.facts.up, l.facts.up[TLS] && l.ups[TLS].Beside
}

func (g *guarded) get() decided {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.decided
}

// Status returns how the tunnel is now. It may be called from any goroutine, after Join.
func (l *Link) Status() tunnel.Status {
	d, ways := l.status.get(), [2]tunnel.Status{TLS: l.tls.Status(), WireGuard: l.wg.Status()}
	by := ways[d.chosen.carries]
	s := tunnel.Status{
		Transport: "auto", Interface: by.Interface, State: d.state(ways), Since: d.since,
		MTU: l.cfg.Device.MTU(), Congestion: ways[TLS].Congestion, CongestionErr: ways[TLS].CongestionErr,
		Stats: sum(ways[TLS].Stats, ways[WireGuard].Stats),
	}
	s.Local, s.Peer = l.names(d.ups, d.beside)
	for t, w := range ways {
		way := tunnel.Way{Status: w, Loss: -1}
		if Transport(t) == WireGuard {
			way.Loss = d.loss
		}
		if d.isUp && Transport(t) == d.chosen.carries {
			way.Carries, way.At, way.Why = true, d.chosen.since, d.chosen.why
		}
		s.Ways = append(s.Ways, way)
	}
	if !d.isUp {
		s.LastError = whyDown(ways)
		return s
	}
	s.Remote, s.RTT, s.Lanes, s.Key, s.KeyPlace = by.Remote, by.RTT, by.Lanes, by.Key, by.KeyPlace
	if d.chosen.carries == WireGuard {
		s.MTU = by.MTU
	}
	s.Hint = d.hint(ways, time.Now())
	return s
}

// state is that of the transport which is furthest.
func (d *decided) state(ways [2]tunnel.Status) tunnel.State {
	switch {
	case d.end:
		return tunnel.StateDown
	case d.isUp:
		return tunnel.StateUp
	case ways[TLS].State == tunnel.StateWaiting && ways[WireGuard].State == tunnel.StateWaiting:
		return tunnel.StateWaiting
	}
	return tunnel.StateConnecting
}

func sum(a, b tunnel.Stats) tunnel.Stats {
	return tunnel.Stats{
		RxBytes: a.RxBytes + b.RxBytes, TxBytes: a.TxBytes + b.TxBytes,
		RxPackets: a.RxPackets + b.RxPackets, TxPackets: a.TxPackets + b.TxPackets,
		Drops: a.Drops + b.Drops, RxMarked: a.RxMarked + b.RxMarked,
	}
}

func whyDown(ways [2]tunnel.Status) string {
	var all []string
	for t, w := range ways {
		if w.LastError != "" {
			all = append(all, Transport(t).String()+": "+w.LastError)
		}
	}
	return strings.Join(all, "; ")
}

// hint is what the operator should know while the tunnel is up. That a transport does not work is no hint at first: it
// may take its time.
func (d *decided) hint(ways [2]tunnel.Status, now time.Time) string {
	var all []string
	for t, w := range ways {
		if w.Hint != "" && Transport(t) == d.chosen.carries {
			all = append(all, w.Hint)
		}
	}
	lasting := func(t Transport) bool {
		return !d.ups[t] && now.Sub(d.since) >= hintAfter && now.Sub(ways[t].Since) >= hintAfter
	}
	switch {
	case lasting(WireGuard) && d.ups[TLS] && !d.beside:
		all = append(all, `the peer has this tunnel over TLS only: set transport = "auto" there too, or "tls" here`)
	case lasting(WireGuard):
		all = append(all, fmt.Sprintf("nothing comes over UDP: the tunnel is carried by TLS, for %v now (%s); let the UDP port of the end that is dialed through the firewalls",
			now.Sub(d.chosen.since).Truncate(time.Second), cmp.Or(ways[WireGuard].LastError, d.chosen.why)))
	case lasting(TLS):
		all = append(all, fmt.Sprintf("there is no connection over TLS that could take over if UDP is dropped (%s): let the TCP port of the end that is dialed through the firewalls, "+
			`or set transport = "wireguard" if the peer has WireGuard only`, cmp.Or(ways[TLS].LastError, "none was made yet")))
	case d.chosen.carries == TLS && d.ups[WireGuard]:
		all = append(all, "the tunnel is carried by TLS: "+d.chosen.why)
	}
	return strings.Join(all, "; ")
}
