package agent

import (
	"log/slog"
	"strings"
	"time"

	"warren/bgp"
	"warren/internal/history"
)

// machine decides what becomes of the peers' attachments: when their tunnels are opened and
// closed, what BGP is to do over them, and what is tried again. It has no clock, does no I/O and
// starts nothing: next takes an event and the time, changes the state, and returns what is to be
// done, which the loop does (effects.go) and whose results are events again. It is not safe for
// concurrent use.
type machine struct {
	peers map[string]*peer // by name
	order []*peer          // the same, as configured

	tunnels map[uint64]*attachment // those that are being opened or are open, by their numbers
	// leaving are the tunnels that nobody wants any more and whose interfaces may still be there.
	// While there are some none is opened: names, links and keys may go from one to another.
	leaving map[uint64]leaving

	numbers    uint64    // the last of a tunnel, of a session and of its generations
	starting   bool      // not all tunnels have been tried once
	changed    bool      // the speaker is to be told of neighbors
	ended      bool      // also that some are gone, which does not wait
	parting    []effect  // that close tunnels, when the speaker has been told so
	cameUp     bool      // tunnels have other addresses
	hashPorts  bool      // a peer has several ways, so that the kernel is to spread flows by ports
	told       time.Time // when the speaker was told last
	conditions conditions
	orders     orders           // of operators
	now        time.Time        // of the event that is being taken
	used       map[uint64]inUse // keys of the sessions of open tunnels, as far as they are known
	announced  map[string]int   // how many prefixes neighbors announce, likewise
}

// leaving is a tunnel that nobody wants any more.
type leaving struct {
	ifname  string
	opening bool   // it is to be closed once it is open
	reason  string // which the peer is told then
}

func newMachine() *machine {
	return &machine{
		peers: map[string]*peer{}, tunnels: map[uint64]*attachment{}, leaving: map[uint64]leaving{},
		starting: true, conditions: newConditions(), orders: newOrders(),
	}
}

// next takes an event.
func (m *machine) next(now time.Time, ev event) []effect {
	m.now = now
	switch ev := ev.(type) {
	case configured:
		return m.configure(now, ev.peers)
	case using:
		m.used, m.announced = ev.keys, ev.announced
		return nil
	case opened:
		return m.opened(now, ev)
	case closed:
		return m.closed(now, ev.id)
	case tried:
		return m.conditions.note(now, ev.subject, ev.err)
	case wrote:
		return m.conditions.noteRoutes(now, ev.err)
	case tick:
		return m.retry(now)
	case changedAround:
		m.conditions.hurry(now)
		return m.retry(now)
	case woke:
		return m.woke(now, ev.asleep)
	case idle:
		return m.idle(now)
	case located:
		return m.located(now, ev)
	case missed:
		return m.missed(ev)
	case rekeyed:
		return m.rekeyed(ev.all)
	case spoken:
		return m.spoken(ev.Event)
	case order:
		return m.ordered(now, ev)
	}
	return m.nextOf(now, ev)
}

// nextOf takes an event of one tunnel.
func (m *machine) nextOf(now time.Time, ev event) []effect {
	switch ev := ev.(type) {
	case gone:
		if a := m.tunnels[ev.id]; a != nil && a.phase == phaseOpen {
			return m.gone(now, a, ev.err)
		}
	case wentUp:
		if a := m.tunnels[ev.id]; a != nil {
			return m.wentUp(a, ev)
		}
	case wentDown:
		if a := m.tunnels[ev.id]; a != nil {
			return m.wentDown(a, ev.reason)
		}
	case moved:
		if a := m.tunnels[ev.id]; a != nil && a.up() {
			return m.moved(a, ev)
		}
	case lostWay:
		if a := m.tunnels[ev.id]; a != nil {
			return m.lostWay(a, ev)
		}
	case peerLost:
		if a := m.tunnels[ev.id]; a != nil {
			return m.peerLost(a, ev)
		}
	case offered:
		if a := m.tunnels[ev.id]; a != nil && a.up() {
			return m.offered(a, ev)
		}
	case judged:
		if a := m.tunnels[ev.id]; a != nil && a.up() && a.session.number == ev.number {
			return m.judged(now, a, ev)
		}
	case addressed:
		if a := m.tunnels[ev.id]; a != nil && a.up() && a.session.number == ev.number {
			return m.addressed(now, a, ev)
		}
	case stripped:
		if a := m.tunnels[ev.id]; a != nil && a.up() && a.session.ready && m.conditions.due(now, about(kindAddressesBack, a)) {
			return []effect{a.setAddresses(true)}
		}
	case mended:
		if a := m.tunnels[ev.id]; a != nil {
			return m.mended(now, a, ev)
		}
	case trusted:
		if a := m.tunnels[ev.id]; a != nil {
			return m.trusted(a, ev)
		}
	case exchanged:
		if a := m.named(ev.name); a != nil && a.up() && a.session.number == ev.number {
			return m.exchanged(now, a, ev)
		}
	case called:
		if a := m.tunnels[ev.id]; a != nil && a.up() && a.session.number == ev.number && !ev.established {
			return m.called(a)
		}
	}
	return nil
}

// all calls do for each attachment, in the order of the config.
func (m *machine) all(do func(*attachment)) {
	for _, p := range m.order {
		for _, a := range p.attachments {
			do(a)
		}
	}
}

// behind returns the tunnel with that interface; nil if there is none.
func (m *machine) behind(ifname string) *attachment {
	for _, p := range m.order {
		for _, a := range p.attachments {
			if !a.isLAN() && a.cfg.Interface == ifname {
				return a
			}
		}
	}
	return nil
}

// named returns the attachment of a neighbor; nil if there is none.
func (m *machine) named(neighbor string) (found *attachment) {
	m.all(func(a *attachment) {
		if a.name == neighbor {
			found = a
		}
	})
	return found
}

// isTunnel reports whether an interface is a tunnel's, be it one that is being closed.
func (m *machine) isTunnel(ifname string) bool {
	if m.behind(ifname) != nil {
		return true
	}
	for _, left := range m.leaving {
		if left.ifname == ifname {
			return true
		}
	}
	return false
}

// neighbors are those that the speaker is to have: one behind each tunnel that is up and
// whose interface has its addresses, and those on networks that this router is on. The other
// attachments are absent.
func (m *machine) neighbors() (w wantNeighbors) {
	m.all(func(a *attachment) {
		if a.farewell != (bgp.Farewell{}) {
			if w.farewells == nil {
				w.farewells = map[string]bgp.Farewell{}
			}
			w.farewells[a.name] = a.farewell
		}
		if a.up() && a.session.ready {
			n := a.neighbor()
			n.Drained = m.orders.isDrained(a.peer.name)
			w.neighbors = append(w.neighbors, n)
			return
		}
		w.absent = append(w.absent, bgp.Absent{ASN: a.peer.bgp.ASN, Preference: a.cfg.Preference})
	})
	return w
}

// tell tells the speaker of its neighbors now, and closes the tunnels that have waited for that.
func (m *machine) tell() []effect {
	out := append([]effect{m.neighbors()}, m.parting...)
	m.changed, m.ended, m.parting = false, false, nil
	return out
}

// toldEvery is how often the speaker is told of what has changed while tunnels are being opened.
const toldEvery = 250 * time.Millisecond

// idle tells the speaker what has changed, all at once: each time costs something for every
// neighbor, and a look at all routes where neighbors are gone. While a thousand tunnels are being opened, and come up
// one by one, that is not done for each of them: the event behind which none is being opened any more, or a later one,
// has it done. That some are gone does not wait. Tunnels that are closed here are closed afterwards, as their BGP
// sessions end inside them.
func (m *machine) idle(now time.Time) (out []effect) {
	if !m.cameUp && !m.changed || !m.ended && m.busy() && now.Sub(m.told) < toldEvery {
		return nil
	}
	if m.cameUp {
		m.cameUp, m.changed = false, true // what is protected goes with the neighbors
		out = append(out, protectEnds{})
	}
	if m.changed {
		m.all(func(a *attachment) {
			if a.up() && a.session.ready {
				m.told = now
			}
		})
		out = append(out, m.tell()...)
	}
	return out
}

// busy reports whether tunnels are being opened or closed.
func (m *machine) busy() bool {
	for _, a := range m.tunnels {
		if a.phase == phaseOpening {
			return true
		}
	}
	return len(m.leaving) > 0
}

// number returns one that was not there before.
func (m *machine) number() uint64 {
	m.numbers++
	return m.numbers
}

// retry tries again what failed before and is due.
func (m *machine) retry(now time.Time) (out []effect) {
	out = m.drainsEnd(now)
	for _, k := range []kind{kindListenWireGuard, kindListenTLS} {
		if m.conditions.again(now, subject{kind: k}) {
			out = append(out, listen{k})
		}
	}
	if m.conditions.again(now, subject{kind: kindFlowHash}) {
		out = append(out, hashPorts{m.hashPorts})
	}
	m.all(func(a *attachment) {
		switch {
		case !a.up():
		case m.conditions.again(now, about(kindAssigned, a)):
			out = append(out, a.giveAddresses())
		case !a.session.ready && m.conditions.due(now, about(kindAddresses, a)), m.conditions.again(now, about(kindAddresses, a)):
			out = append(out, a.setAddresses(false))
		}
	})
	return append(out, m.open(now)...)
}

// holdTime is what the hold time of a BGP session is at most: the peer has ended one in
// which this end was silent for longer (RFC 4271, section 4.2).
const holdTime = 9 * time.Second

// woke is for when the machine wakes up. All timers have slept as well, so that what they would
// do is done now: tunnels decide whether their session is over and try again at once, and BGP
// sessions that the peer has ended start again.
func (m *machine) woke(now time.Time, asleep time.Duration) []effect {
	out := []effect{
		logged{slog.LevelInfo, "woke up: the machine was asleep", []any{"asleep", asleep.Round(time.Second)}},
		happened{history.Event{
			Kind: history.Underlay, Time: history.At(now), Cause: "this router was asleep", Over: true, LastedS: history.Seconds(asleep),
		}},
	}
	m.all(func(a *attachment) {
		if a.phase == phaseOpen {
			out = append(out, wakeTunnel{a.id})
		}
		if a.up() && asleep >= holdTime {
			m.startAgain(a, "this router was asleep for "+asleep.Round(time.Second).String())
			m.changed = true
		}
	})
	m.conditions.hurry(now)
	return append(out, m.retry(now)...)
}

// mendSilence is how long the log says nothing more of an interface that something else
// changes again and again.
const mendSilence = time.Minute

func (m *machine) mended(now time.Time, a *attachment, ev mended) []effect {
	out := m.conditions.note(now, about(kindInterface, a), ev.err)
	if len(ev.changed) == 0 || ev.err != nil || !a.mended.IsZero() && now.Sub(a.mended) < mendSilence {
		return out
	}
	a.mended = now
	e := a.event(history.Underlay, now)
	e.Cause = "put right what something else had changed of the tunnel's interface: " + strings.Join(ev.changed, ", ")
	return append(out, happened{e}, logged{slog.LevelWarn, "put right what something else had changed of the tunnel's interface",
		[]any{"peer", a.peer.name, "interface", a.cfg.Interface, "changed", strings.Join(ev.changed, ",")}})
}
