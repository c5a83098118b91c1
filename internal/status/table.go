package status

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"
)

// Table writes a status for people: the router, a line for each tunnel of each peer, what is
// wrong with it, what does not succeed and is tried again, what there is to know otherwise, and the kernel's routes. Control
// characters in what peers and the network have said do not get through to the
// terminal.
func Table(w io.Writer, s Status) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s  AS %d  router ID %s  version %s  up %s\n\n", clean(s.Router.Name), s.Router.ASN,
		clean(s.Router.RouterID), clean(s.Router.Version), age(time.Duration(s.Router.UptimeS)*time.Second))
	if s.Time.IsZero() {
		s.Time = At(time.Now())
	}
	peerTable(&b, s)
	for _, p := range s.Peers {
		for i, t := range tunnels(p) {
			name := rowName(p, i)
			problem(&b, name, "tunnel", t.LastError, p.Conditions)
			problem(&b, name, "bgp", t.BGP.LastError, p.Conditions)
			problem(&b, name, "bgp", malformed(t.BGP), nil)
		}
	}
	if sp := s.Router.Speaker; sp.Restarts > 0 {
		fmt.Fprintf(&b, "speaker: started again %s; the last time because: %s\n", times(sp.Restarts), clean(sp.LastError))
	}
	conditions(&b, s.Time.Time, "", s.Router.Conditions)
	for _, p := range s.Peers {
		conditions(&b, s.Time.Time, p.Name, p.Conditions)
	}
	for _, h := range s.Router.Hints {
		hint(&b, h)
	}
	fmt.Fprintf(&b, "\nkernel routes: %d IPv4, %d IPv6; %d pending, %d refused\n",
		s.FIB.IPv4, s.FIB.IPv6, s.FIB.Pending, s.FIB.Errors)
	if own := slices.DeleteFunc([]string{s.Router.Source.IPv4, s.Router.Source.IPv6}, func(a string) bool { return a == "" }); len(own) > 0 {
		fmt.Fprintf(&b, "own packets into tunnels come from %s\n", clean(strings.Join(own, ", ")))
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func times(n int) string {
	if n == 1 {
		return "once"
	}
	return fmt.Sprintf("%d times", n)
}

func peerTable(b *strings.Builder, s Status) {
	if len(s.Peers) == 0 {
		b.WriteString("no peers: put one file for each into peers.d/ and reload\n")
		return
	}
	now := s.Time.Time
	t := tabwriter.NewWriter(b, 0, 0, 2, ' ', 0)
	several := slices.ContainsFunc(s.Peers, func(p Peer) bool { return len(p.Tunnels) > 1 })
	head := []string{"PEER", "TRANSPORT", "TUNNEL", "FOR", "REMOTE", "RTT", "RX", "TX", "BGP ADDRESS", "BGP", "FOR", "RECEIVED", "ACCEPTED", "ANNOUNCED"}
	congested := slices.ContainsFunc(s.Peers, func(p Peer) bool {
		return slices.ContainsFunc(tunnels(p), func(t PeerTunnel) bool { return t.Congestion != "" })
	})
	fmt.Fprintln(t, strings.Join(withCongestion(congested, withShare(several, head, "SHARE"), "CONGESTION"), "\t"))
	for _, p := range s.Peers {
		for i, u := range tunnels(p) {
			cells := []string{
				rowName(p, i), transport(u), u.State, since(now, u.Since), u.Remote,
				rtt(u.RTT), bytes(u.RxBytes), bytes(u.TxBytes),
				u.BGP.Address, u.BGP.State, since(now, u.BGP.Since),
				fmt.Sprint(u.BGP.Received), fmt.Sprint(u.BGP.Accepted), fmt.Sprint(u.BGP.Announced),
			}
			for i, c := range cells {
				cells[i] = orDash(clean(c))
			}
			cells = withCongestion(congested, withShare(several, cells, share(u)), orDash(clean(u.Congestion)))
			fmt.Fprintln(t, strings.Join(cells, "\t"))
		}
	}
	_ = t.Flush() // a strings.Builder does not fail
}

// withShare puts a cell about a tunnel's share of the flows behind the round trip, where a peer has
// several tunnels.
func withShare(several bool, cells []string, share string) []string {
	const at = 6
	if !several {
		return cells
	}
	return slices.Insert(slices.Clone(cells), at, share)
}

// withCongestion puts a cell about a tunnel's congestion control at the end, where a tunnel has one.
func withCongestion(some bool, cells []string, congestion string) []string {
	if !some {
		return cells
	}
	return append(slices.Clone(cells), congestion)
}

// transport is a tunnel's, and behind it which of two it is carried by.
func transport(t PeerTunnel) string {
	if t.CarriedBy == "" {
		return t.Transport
	}
	return t.Transport + "/" + t.CarriedBy
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
