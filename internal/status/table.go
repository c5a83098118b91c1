package status

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
	"unicode"
)

// Table writes a status for people: the router, a line for each tunnel of each peer, what is
// wrong with it, what does not succeed and is tried again, what there is to know otherwise, and the kernel's routes. Control
// characters in what peers and the network have said do not get through to the
// terminal.
func Table(w io.Writer, s Status) error { return View{}.Table(w, s) }

// Table is [Table] for a view.
func (v View) Table(w io.Writer, s Status) error {
	if s.Time.IsZero() {
		s.Time = At(time.Now())
	}
	var b strings.Builder
	b.WriteString(v.fold(fmt.Sprintf("%s  AS %d  router ID %s  version %s  up %s\n", clean(s.Router.Name), s.Router.ASN,
		clean(s.Router.RouterID), clean(s.Router.Version), age(time.Duration(s.Router.UptimeS)*time.Second))) + "\n")
	v.peerTable(&b, s)
	var orders, wrong strings.Builder
	if s.Router.Drained != nil {
		fmt.Fprintf(&orders, "the whole router is %s\n", s.Router.Drained.text(s.Time.Time))
	}
	for _, p := range s.Peers {
		operatorLines(&orders, s.Time.Time, p)
		for i, t := range tunnels(p) {
			name := rowName(p, i)
			problem(&wrong, name, "tunnel", t.LastError, p.Conditions)
			problem(&wrong, name, "bgp", t.BGP.LastError, p.Conditions)
			problem(&wrong, name, "bgp", malformed(t.BGP), nil)
		}
	}
	if sp := s.Router.Speaker; sp.Restarts > 0 {
		fmt.Fprintf(&wrong, "speaker: started again %s; the last time because: %s\n", times(sp.Restarts), clean(sp.LastError))
	}
	v.lines(&b, notice, orders.String())
	v.lines(&b, bad, wrong.String())
	v.lines(&b, notice, hintLines(s))
	v.lines(&b, plain, fmt.Sprintf("\nkernel routes: %d IPv4, %d IPv6; %d pending, %d refused\n",
		s.FIB.IPv4, s.FIB.IPv6, s.FIB.Pending, s.FIB.Errors))
	if own := slices.DeleteFunc([]string{s.Router.Source.IPv4, s.Router.Source.IPv6}, func(a string) bool { return a == "" }); len(own) > 0 {
		v.lines(&b, plain, fmt.Sprintf("own packets into tunnels come from %s\n", clean(strings.Join(own, ", "))))
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// lines writes lines in a colour.
func (v View) lines(b *strings.Builder, c colour, text string) {
	for l := range strings.Lines(v.fold(text)) {
		if l = strings.TrimSuffix(l, "\n"); l != "" {
			l = v.in(c, l)
		}
		b.WriteString(l + "\n")
	}
}

// hintLines are what does not succeed and what there is to know.
func hintLines(s Status) string {
	var b strings.Builder
	conditions(&b, s.Time.Time, "", s.Router.Conditions)
	for _, p := range s.Peers {
		conditions(&b, s.Time.Time, p.Name, p.Conditions)
	}
	for _, h := range s.Router.Hints {
		hint(&b, h)
	}
	return b.String()
}

func times(n int) string {
	if n == 1 {
		return "once"
	}
	return fmt.Sprintf("%d times", n)
}

// transport is a tunnel's, and behind it which of two it is carried by, or that the kernel carries it.
func transport(t PeerTunnel) string {
	if by := cmp.Or(t.CarriedBy, t.Datapath); by != "" {
		return t.Transport + "/" + by
	}
	return t.Transport
}

// share is what part of the peer's flows a tunnel has.
func share(t PeerTunnel) string {
	switch {
	case t.Share > 0:
		return fmt.Sprintf("%.0f %%", t.Share*100)
	case t.State == "up" && t.BGP.State == "established":
		return "reserve"
	}
	return "-"
}

// tunnels returns a peer's, also those of a daemon that knows of one only.
func tunnels(p Peer) []PeerTunnel {
	if len(p.Tunnels) == 0 {
		return []PeerTunnel{{Tunnel: p.Tunnel, BGP: p.BGP}}
	}
	return p.Tunnels
}

// Neighbor is one of the neighbors that a peer is.
type Neighbor struct {
	Name  string // the peer's, and behind it which of several tunnels it is, but for the first
	State string // of the tunnel
	BGP   BGP
}

// Neighbors returns the neighbors that the peers are, each over one tunnel.
func (s Status) Neighbors() (all []Neighbor) {
	for _, p := range s.Peers {
		for i, t := range tunnels(p) {
			all = append(all, Neighbor{rowName(p, i), t.State, t.BGP})
		}
	}
	return all
}

// rowName is what the line of a peer's tunnel begins with: the peer's name, and behind it which
// of several it is, but for the first.
func rowName(p Peer, i int) string {
	if i == 0 {
		return p.Name
	}
	return fmt.Sprintf("%s/%d", p.Name, i)
}

// problem tells what was said, unless a condition does.
func problem(b *strings.Builder, peer, where, text string, told []Condition) {
	if text != "" && !slices.ContainsFunc(told, func(c Condition) bool { return strings.Contains(c.Text, text) }) {
		fmt.Fprintf(b, "%s: %s: %s\n", clean(peer), where, clean(text))
	}
}

// conditions are hints that say how often what is wrong was tried.
func conditions(b *strings.Builder, now time.Time, peer string, all []Condition) {
	for _, c := range all {
		what := c.Kind
		if c.Interface != "" {
			what += " on " + c.Interface
		}
		hint(b, Hint{Peer: peer, Text: fmt.Sprintf("%s (%s, tried %s in %s)", c.Text, what, times(c.Tries), since(now, c.Since))})
	}
}

func hint(b *strings.Builder, h Hint) {
	if h.Peer != "" {
		fmt.Fprintf(b, "%s: ", clean(h.Peer))
	}
	fmt.Fprintf(b, "hint: %s\n", clean(h.Text))
}

// malformed tells what was wrong with a peer's messages, or nothing.
func malformed(b BGP) string {
	if b.Repaired == 0 && b.WithdrawnMalformed == 0 && b.Discarded == 0 {
		return ""
	}
	return fmt.Sprintf("malformed messages: %d repaired, %d prefixes withdrawn, %d attributes or prefixes discarded; the last: %s",
		b.Repaired, b.WithdrawnMalformed, b.Discarded, b.LastMalformed)
}

// clean replaces what a terminal would act on instead of showing it.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, s)
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

func rtt(m Millis) string {
	ms := float64(m) / float64(time.Millisecond)
	switch {
	case ms <= 0:
		return ""
	case ms >= 99.95:
		return fmt.Sprintf("%.0f ms", ms)
	}
	return fmt.Sprintf("%.3g ms", ms)
}

// bytes shows a count in binary units with three digits.
func bytes(n uint64) string {
	const units = "KMGTPE"
	if n < 1024 {
		return fmt.Sprintf("%d B", n)
	}
	v, i := float64(n)/1024, 0
	for v >= 1023.5 && i < len(units)-1 {
		v, i = v/1024, i+1
	}
	if v >= 99.95 {
		return fmt.Sprintf("%.0f %ciB", v, units[i])
	}
	return fmt.Sprintf("%.1f %ciB", v, units[i])
}

func since(now time.Time, t Time) string {
	if t.IsZero() {
		return ""
	}
	return age(now.Sub(t.Time))
}

// age shows a duration by its two largest units.
func age(d time.Duration) string {
	d = max(d, 0).Truncate(time.Second)
	days, hours, minutes, seconds := d/(24*time.Hour), d/time.Hour%24, d/time.Minute%60, d/time.Second%60
	switch {
	case days > 0:
		return fmt.Sprintf("%dd%dh", days, hours)
	case hours > 0:
		return fmt.Sprintf("%dh%dm", hours, minutes)
	case minutes > 0:
		return fmt.Sprintf("%dm%ds", minutes, seconds)
	}
	return fmt.Sprintf("%ds", seconds)
}
