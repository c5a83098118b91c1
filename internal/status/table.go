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

// Table writes a status for people: the router, a line per peer, what is wrong
// with a peer, what there is to know otherwise, and the kernel's routes. Control
// characters in what peers and the network have said do not get through to the
// terminal.
func Table(w io.Writer, s Status) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s  AS %d  router ID %s  version %s  up %s\n\n", clean(s.Router.Name), s.Router.ASN,
		clean(s.Router.RouterID), clean(s.Router.Version), age(time.Duration(s.Router.UptimeS)*time.Second))
	peerTable(&b, s)
	for _, p := range s.Peers {
		problem(&b, p.Name, "tunnel", p.Tunnel.LastError)
		problem(&b, p.Name, "bgp", p.BGP.LastError)
		problem(&b, p.Name, "bgp", malformed(p.BGP))
	}
	if sp := s.Router.Speaker; sp.Restarts > 0 {
		fmt.Fprintf(&b, "speaker: started again %s; the last time because: %s\n", times(sp.Restarts), clean(sp.LastError))
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
	if now.IsZero() {
		now = time.Now()
	}
	t := tabwriter.NewWriter(b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "PEER\tTRANSPORT\tTUNNEL\tFOR\tREMOTE\tRTT\tRX\tTX\tBGP\tFOR\tRECEIVED\tACCEPTED\tANNOUNCED")
	for _, p := range s.Peers {
		cells := []string{
			p.Name, p.Tunnel.Transport, p.Tunnel.State, since(now, p.Tunnel.Since), p.Tunnel.Remote,
			rtt(p.Tunnel.RTT), bytes(p.Tunnel.RxBytes), bytes(p.Tunnel.TxBytes),
			p.BGP.State, since(now, p.BGP.Since),
			fmt.Sprint(p.BGP.Received), fmt.Sprint(p.BGP.Accepted), fmt.Sprint(p.BGP.Announced),
		}
		for i, c := range cells {
			cells[i] = orDash(clean(c))
		}
		fmt.Fprintln(t, strings.Join(cells, "\t"))
	}
	_ = t.Flush() // a strings.Builder does not fail
}

func problem(b *strings.Builder, peer, where, text string) {
	if text != "" {
		fmt.Fprintf(b, "%s: %s: %s\n", clean(peer), where, clean(text))
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
