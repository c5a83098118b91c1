package status

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"warren/internal/history"
)

// Of returns what of s is about one peer: the router stays, with the hints about the peer alone.
func (s Status) Of(p Peer) Status {
	s.Peers = []Peer{p}
	var hints []Hint
	for _, h := range s.Router.Hints {
		if h.Peer == p.Name {
			hints = append(hints, h)
		}
	}
	s.Router.Hints = hints
	return s
}

// PeerText writes all about each peer of s for people, and the last events of it.
func PeerText(w io.Writer, s Status) error {
	if s.Time.IsZero() {
		s.Time = At(time.Now())
	}
	var b strings.Builder
	for _, p := range s.Peers {
		operatorLines(&b, s.Time.Time, p)
		for i, t := range tunnels(p) {
			tunnelText(&b, s.Time.Time, rowName(p, i), t)
			b.WriteString("\n")
		}
		conditions(&b, s.Time.Time, p.Name, p.Conditions)
		for _, h := range s.Router.Hints {
			hint(&b, h)
		}
		historyText(&b, p.History)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// PeerText is [PeerText] for a view.
func (v View) PeerText(w io.Writer, s Status) error {
	var b strings.Builder
	if err := PeerText(&b, s); err != nil {
		return err
	}
	_, err := io.WriteString(w, v.fold(b.String()))
	return err
}

func historyText(b *strings.Builder, events []history.Event) {
	if len(events) > 0 {
		b.WriteString("history, the last events:\n")
	}
	for _, e := range events {
		fmt.Fprintf(b, "  %s\n", EventLine(e))
	}
}

// tunnelText has a line for each thing that is known of a tunnel and the session over it.
func tunnelText(b *strings.Builder, now time.Time, name string, t PeerTunnel) {
	w := tabwriter.NewWriter(b, 0, 0, 2, ' ', 0)
	line := func(key, text string) {
		if text != "" {
			fmt.Fprintf(w, "  %s\t%s\n", key, clean(text))
		}
	}
	fmt.Fprintf(b, "%s\n", clean(name))
	line("tunnel", state(t.State, now, t.Since))
	line("last error", t.LastError)
	line("went down", resetText(now, t.Flaps, t.LastReset))
	line("transport", transportText(now, t.Transport, t.CarriedBy, t.CarriedWhy, t.CarriedSince))
	for _, w := range t.Ways {
		line("over "+clean(w.Transport), w.text(now))
	}
	line("packets", datapath(t.Tunnel))
	line("interface", t.Interface)
	line("remote", t.Remote)
	line("key", t.Key)
	line("round trip", rtt(t.RTT))
	line("MTU", number(t.MTU))
	line("share", share(t))
	line("received", fmt.Sprintf("%s, %d packets", bytes(t.RxBytes), t.RxPackets))
	line("sent", fmt.Sprintf("%s, %d packets", bytes(t.TxBytes), t.TxPackets))
	line("dropped", fmt.Sprintf("%d packets", t.Drops))
	line("ECN", ecnText(t.Tunnel))
	line("DSCP", t.DSCP)
	g := t.BGP
	line("BGP", state(g.State, now, g.Since))
	line("BGP address", g.Address)
	line("BGP AS", fmt.Sprint(g.ASN))
	line("BGP last error", g.LastError)
	line("BGP went down", resetText(now, g.Flaps, g.LastReset))
	line("prefixes", fmt.Sprintf("%d received, %d accepted, %d refused by max_prefixes, %d stale, %d looped, %d announced, %d withheld",
		g.Received, g.Accepted, g.Refused, g.Stale, g.Looped, g.Announced, g.Withheld))
	line("BGP", malformed(g))
	line("last loop", g.LastLooped)
	_ = w.Flush() // a strings.Builder does not fail
}

// ecnText is empty where there is no ECN, neither sent nor received.
func ecnText(t Tunnel) string {
	sends := "sent"
	if !t.ECN {
		if t.RxMarked == 0 {
			return ""
		}
		sends = "not sent"
	}
	return fmt.Sprintf("%s; %d packets received with a mark of congestion", sends, t.RxMarked)
}

// transportText is a tunnel's transport, and of two the one that carries it, since when and why.
func transportText(now time.Time, of, by, why string, at *Time) string {
	if by == "" {
		return of
	}
	text := of + ", carried by " + by
	if at != nil {
		if f := since(now, *at); f != "" {
			text += " for " + f
		}
	}
	if why != "" {
		text += " (" + why + ")"
	}
	return text
}

// text is one of two transports.
func (c *Carrier) text(now time.Time) string {
	parts := []string{state(c.State, now, c.Since)}
	add := func(what string) {
		if what != "" {
			parts = append(parts, what)
		}
	}
	add(c.Remote)
	if c.RTT > 0 {
		add("round trip " + rtt(c.RTT))
	}
	if c.Loss != nil {
		add(fmt.Sprintf("%.1f %% lost", *c.Loss*100))
	}
	add(fmt.Sprintf("%s received, %s sent", bytes(c.RxBytes), bytes(c.TxBytes)))
	add(c.LastError)
	return strings.Join(parts, ", ")
}

func number(n int) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprint(n)
}

func state(s string, now time.Time, t Time) string {
	if f := since(now, t); f != "" {
		return s + " for " + f
	}
	return s
}

// resetText tells how often something went down, and why last.
func resetText(now time.Time, flaps int, last Reset) string {
	if flaps == 0 {
		return ""
	}
	return fmt.Sprintf("%s, the last time %s ago: %s", times(flaps), since(now, last.Time), last.Cause)
}

// datapath says what carries a tunnel's packets if that is not this daemon.
func datapath(t Tunnel) string {
	if t.Datapath == "" {
		return ""
	}
	return "by the " + t.Datapath + "'s WireGuard"
}
