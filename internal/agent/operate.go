package agent

import (
	"cmp"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"time"

	"warren/bgp"
	"warren/internal/history"
)

// What an operator does with a peer while the daemon runs, without the files:
//
//	drain  takes traffic away: BGP has the peer's ways used only where there are no others, at both ends
//	down   closes the peer's tunnels and sessions, until it is taken up; a reload changes nothing about that
//	reset  closes them, and lets them begin again
//
// The first two are remembered by the peer's name, for as long as the peer is there, or may come back as a reload
// is taken back. They go to the next daemon at `warren restart`. A stop forgets them.

// order is what an operator has asked for.
type order struct {
	do      string        // one of orderDrain and so on
	peer    string        // which there is; "": the whole router, for drain and undrain
	by      int64         // a user, or bySignal
	long    time.Duration // of drain: after that it ends; 0: it does not
	message string        // of down and reset: what the peer is told
}

const (
	orderDrain   = "drain"
	orderUndrain = "undrain"
	orderDown    = "down"
	orderUp      = "up"
	orderReset   = "reset"
)

func (order) isEvent() {}

// drained says since when, until when (zero: for ever) and by whom something is drained.
type drained struct {
	Since time.Time `json:"since"`
	Until time.Time `json:"until"`
	By    int64     `json:"by"`
}

// takenDown likewise.
type takenDown struct {
	Since   time.Time `json:"since"`
	By      int64     `json:"by"`
	Message string    `json:"message"`
	// From are where the peer's tunnels came from on the underlay: that it is refused there now is no news.
	From []netip.Addr `json:"from"`
}

// orders are those that hold. The next daemon takes them over.
type orders struct {
	Router  *drained              `json:"router"`  // the whole router is drained
	Drained map[string]*drained   `json:"drained"` // by peer
	Down    map[string]*takenDown `json:"down"`    // by peer

	excused map[netip.Addr]time.Time // see excuses
}

// dated returns the orders for the next daemon, which gets dates: those of their times by the clock as it is set now.
func (o *orders) dated(date func(time.Time) time.Time) *orders {
	drain := func(d *drained) *drained {
		if d == nil {
			return nil
		}
		return &drained{date(d.Since), date(d.Until), d.By}
	}
	out := orders{Router: drain(o.Router), Drained: map[string]*drained{}, Down: map[string]*takenDown{}}
	for peer, d := range o.Drained {
		out.Drained[peer] = drain(d)
	}
	for peer, d := range o.Down {
		out.Down[peer] = &takenDown{date(d.Since), d.By, d.Message, d.From}
	}
	return &out
}

func newOrders() orders {
	return orders{Drained: map[string]*drained{}, Down: map[string]*takenDown{}, excused: map[netip.Addr]time.Time{}}
}

// drainOf returns the drain of a peer, which is its own or the router's; nil: it is not drained.
func (o *orders) drainOf(peer string) (d *drained, router bool) {
	if d := o.Drained[peer]; d != nil {
		return d, false
	}
	return o.Router, o.Router != nil
}

func (o *orders) isDrained(peer string) bool {
	d, _ := o.drainOf(peer)
	return d != nil
}

// text says what an operator has done with a peer; "": nothing. That it is taken down comes before a drain.
func (o *orders) text(peer string) string {
	if d := o.Down[peer]; d != nil {
		return "its peer was taken down by " + byText(d.By)
	}
	d, router := o.drainOf(peer)
	switch {
	case d == nil:
		return ""
	case router:
		return "the whole router is drained by " + byText(d.By)
	}
	return "its peer is drained by " + byText(d.By)
}

// keep forgets what is about peers that there are not any more.
func (o *orders) keep(is func(peer string) bool) {
	for name := range o.Drained {
		if !is(name) {
			delete(o.Drained, name)
		}
	}
	for name := range o.Down {
		if !is(name) {
			delete(o.Down, name)
		}
	}
}

// byText is a user as status and history have it.
func byText(uid int64) string {
	if uid == bySignal {
		return "unknown"
	}
	return fmt.Sprintf("uid %d", uid)
}

// ordered does what an operator asks for. What comes of it is reported, line by line.
func (m *machine) ordered(now time.Time, o order) []effect {
	switch o.do {
	case orderDrain:
		return m.drain(now, o)
	case orderUndrain:
		return m.undrain(now, o)
	case orderDown:
		return m.takeDown(now, o)
	case orderUp:
		return m.takeUp(now, o)
	}
	return m.reset(now, o)
}

// about names what an order is about.
func (o order) about() string {
	if o.peer == "" {
		return "the whole router"
	}
	return "peer " + o.peer
}

// told is the event, the line of the log and the report of an order.
func (o order) told(now time.Time, kind history.Kind, cause, line string, until time.Time) []effect {
	e := history.Event{Kind: kind, Time: history.At(now), Peer: o.peer, Cause: cause}
	if o.by != bySignal {
		e.By, e.UID = byText(o.by), &o.by
	}
	if !until.IsZero() {
		at := history.At(until)
		e.Until = &at
	}
	attrs := []any{"by", byText(o.by)}
	if o.peer != "" {
		attrs = append([]any{"peer", o.peer}, attrs...)
	}
	return []effect{happened{e}, report{o.about() + ": " + line}, logged{slog.LevelInfo, "an operator: " + line, attrs}}
}

func (m *machine) drain(now time.Time, o order) []effect {
	d := &drained{Since: now, By: o.by}
	if o.long > 0 {
		d.Until = now.Add(o.long)
	}
	was := m.orders.Router
	if o.peer == "" {
		m.orders.Router = d
	} else {
		was, m.orders.Drained[o.peer] = m.orders.Drained[o.peer], d
	}
	if was != nil {
		d.Since = was.Since
	}
	m.changed = true
	line := "drained"
	if !d.Until.IsZero() {
		line += " for " + o.long.String()
	}
	return o.told(now, history.Drain, "", line, d.Until)
}

func (m *machine) undrain(now time.Time, o order) []effect {
	was := m.orders.Router
	if o.peer != "" {
		was = m.orders.Drained[o.peer]
	}
	if was == nil {
		line := "it is not drained"
		if o.peer != "" && m.orders.Router != nil {
			line = "it is not drained by itself; `warren undrain` ends the drain of the whole router"
		}
		return append([]effect{report{o.about() + ": " + line}}, m.stillDrained(o)...)
	}
	return append(m.endDrain(now, o, "", was), m.stillDrained(o)...)
}

// stillDrained names those that stay drained when the router is not any more.
func (m *machine) stillDrained(o order) (out []effect) {
	if o.peer != "" {
		return nil
	}
	for _, name := range sortedKeys(m.orders.Drained) {
		if m.peers[name] == nil { // it may come back, when a reload is taken back
			continue
		}
		out = append(out, report{fmt.Sprintf("peer %s: drained by itself; `warren undrain %s` ends that", name, name)})
	}
	return out
}

func (m *machine) endDrain(now time.Time, o order, cause string, was *drained) []effect {
	if o.peer == "" {
		m.orders.Router = nil
	} else {
		delete(m.orders.Drained, o.peer)
	}
	m.changed = true
	out := o.told(now, history.Undrain, cause, "not drained any more", time.Time{})
	for i, e := range out {
		if h, ok := e.(happened); ok {
			h.LastedS = history.Seconds(now.Sub(was.Since))
			out[i] = h
		}
	}
	return out
}

// drainsEnd ends those whose time is over.
func (m *machine) drainsEnd(now time.Time) (out []effect) {
	over := func(d *drained) bool { return d != nil && !d.Until.IsZero() && !now.Before(d.Until) }
	end := func(peer string, d *drained) {
		for _, e := range m.endDrain(now, order{peer: peer, by: bySignal}, "its time is over", d) {
			if _, line := e.(report); !line { // nobody asks
				out = append(out, e)
			}
		}
	}
	if d := m.orders.Router; over(d) {
		end("", d)
	}
	for _, name := range sortedKeys(m.orders.Drained) {
		if d := m.orders.Drained[name]; over(d) {
			end(name, d)
		}
	}
	return out
}

// takeDown closes all of a peer's. Its routes go first, and it is told why.
func (m *machine) takeDown(now time.Time, o order) []effect {
	p := m.peers[o.peer]
	if m.orders.Down[o.peer] != nil {
		return []effect{report{o.about() + ": it is down already"}}
	}
	d := &takenDown{Since: now, By: o.by, Message: o.message}
	for _, a := range p.attachments {
		if at, err := netip.ParseAddrPort(m.remoteOf(a)); err == nil {
			d.From = append(d.From, at.Addr())
		}
	}
	m.orders.Down[o.peer] = d
	cause := withMessage("an operator took the peer down ("+byText(o.by)+")", o.message)
	out := o.told(now, history.Down, o.message, "taken down", time.Time{})
	for _, a := range p.attachments {
		a.farewell = bgp.Farewell{Text: farewellText("taken down by an operator", o.message)}
		out = append(out, m.closeFor(a, withMessage("the peer's operator took the tunnel down", o.message), cause)...)
	}
	m.changed, m.ended = true, true
	return out
}

func (m *machine) remoteOf(a *attachment) string {
	if a.up() {
		return a.session.remote
	}
	return ""
}

func (m *machine) takeUp(now time.Time, o order) []effect {
	d := m.orders.Down[o.peer]
	if d == nil {
		return []effect{report{o.about() + ": it is not taken down"}}
	}
	delete(m.orders.Down, o.peer)
	m.orders.excuse(d, now)
	m.changed = true
	out := o.told(now, history.Up, "", "taken up", time.Time{})
	for i, e := range out {
		if h, ok := e.(happened); ok {
			h.LastedS = history.Seconds(now.Sub(d.Since))
			out[i] = h
		}
	}
	return append(out, m.open(now)...)
}

// reset has a peer's tunnels and sessions begin again. Where there is no tunnel, or it is another program's,
// the session does.
func (m *machine) reset(now time.Time, o order) []effect {
	if m.orders.Down[o.peer] != nil {
		return []effect{report{fmt.Sprintf("peer %s: it is taken down; `warren up %s` takes it up", o.peer, o.peer)}}
	}
	cause := withMessage("an operator reset the peer ("+byText(o.by)+")", o.message)
	out := o.told(now, history.Reset, o.message, "reset", time.Time{})
	for _, a := range m.peers[o.peer].attachments {
		a.farewell = bgp.Farewell{Reset: true, Text: farewellText("reset by an operator", o.message)}
		if a.isLAN() || a.isExternal() {
			if a.up() {
				m.startAgain(a, cause)
				m.changed = true
			}
			continue
		}
		out = append(out, m.closeFor(a, withMessage("the peer's operator reset the tunnel", o.message), cause)...)
	}
	m.conditions.hurry(now)
	return append(out, m.open(now)...)
}

func withMessage(text, message string) string {
	if message == "" {
		return text
	}
	return text + ": " + message
}

// farewellText is what the peer is told, cut where it is too long, not within a character.
func farewellText(text, message string) string {
	text = cmp.Or(message, text)
	if len(text) <= bgp.MaxFarewell {
		return text
	}
	most := 0
	for i := range text {
		if i <= bgp.MaxFarewell {
			most = i
		}
	}
	return text[:most]
}

// excuses reports whether it is no news that an address on the underlay was refused: a tunnel of a peer came
// from there that is, or at that time was, taken down.
func (o *orders) excuses(source netip.Addr, at time.Time) bool {
	for _, d := range o.Down {
		if slices.Contains(d.From, source) {
			return true
		}
	}
	return at.Before(o.excused[source])
}

// excuse remembers for a while where the tunnels of a peer came from that is taken up.
func (o *orders) excuse(d *takenDown, now time.Time) {
	for source, until := range o.excused {
		if now.Sub(until) > refusedLately {
			delete(o.excused, source)
		}
	}
	for _, source := range d.From {
		o.excused[source] = now.Add(time.Second) // the tunnel is opened within it
	}
}
