package status

import (
	"fmt"
	"io"
	"strings"
	"time"
)

// WhyTable writes an answer for people.
func WhyTable(w io.Writer, y Why) error {
	var b strings.Builder
	switch {
	case y.Address == "":
		fmt.Fprintln(&b, clean(y.Prefix))
	case y.Prefix == "":
		fmt.Fprintln(&b, clean(y.Address))
	default:
		fmt.Fprintf(&b, "%s is in %s\n", clean(y.Address), clean(y.Prefix))
	}
	if len(y.Refused) > 0 {
		fmt.Fprintf(&b, "  more specific, announced and not used: %s (`warren why` of each says why)\n", clean(strings.Join(y.Refused, ", ")))
	}
	if y.Local {
		fmt.Fprintf(&b, "  own: this router announces it itself%s\n", by(y.LocalBy))
	}
	for i := range y.Candidates {
		y.Candidates[i].write(&b)
	}
	if y.More > 0 {
		fmt.Fprintf(&b, "  %d more: name one with --from\n", y.More)
	}
	if len(y.Candidates) == 0 {
		fmt.Fprintf(&b, "  %s\n", clean(y.absent()))
	}
	fmt.Fprintf(&b, "kernel: %s\n", clean(y.Kernel.text()))
	if t := y.Kernel.Tunnel; t != nil {
		fmt.Fprintf(&b, "  %s\n", clean(t.text(time.Now())))
	}
	if len(y.AnnouncedTo) > 0 {
		fmt.Fprintf(&b, "announced to: %s\n", clean(strings.Join(y.AnnouncedTo, ", ")))
	}
	for _, e := range y.NotAnnouncedTo {
		fmt.Fprintf(&b, "not announced to %s: %s%s\n", clean(e.Peer), clean(e.Reason), by(e.By))
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// write writes a candidate: a line with what became of it, and one with its attributes.
func (c *WhyCandidate) write(b *strings.Builder) {
	on := ""
	if c.Interface != "" && c.Interface != c.Peer {
		on = " (" + clean(c.Interface) + ")"
	}
	fmt.Fprintf(b, "  %s: %s%s: %s%s\n", clean(c.Verdict), clean(c.Peer), on, clean(c.Reason), by(c.By))
	if c.Origin == "" {
		return
	}
	path := c.ASPath
	if path == "" {
		path = "empty"
	}
	fmt.Fprintf(b, "    AS_PATH %s, LOCAL_PREF %d, ORIGIN %s, MED %d, next hop %s", clean(path), c.LocalPref, clean(c.Origin), c.MED, clean(c.NextHop))
	if len(c.Communities) > 0 {
		fmt.Fprintf(b, ", communities %s", clean(strings.Join(c.Communities, " ")))
	}
	if c.Stale {
		b.WriteString("; kept since its connection was lost")
	}
	b.WriteString("\n")
}

func by(key string) string {
	if key == "" {
		return ""
	}
	return " [" + clean(key) + "]"
}

// absent says that nobody announces it.
func (y *Why) absent() string {
	what := "it"
	if y.Address != "" && y.Prefix == "" {
		what = "a prefix that it is in"
	}
	text := "no peer announces " + what
	switch {
	case y.Local:
		return text
	case len(y.WouldImport) == 0:
		return text + ", and import of no peer would take it"
	}
	return text + "; import of " + strings.Join(y.WouldImport, ", ") + " would take it"
}

func (k *WhyKernel) text() string {
	switch {
	case k.Route == "" && k.Owned:
		return fmt.Sprintf("a packet to %s goes nowhere: %s, and it is Warren's", k.To, k.Text)
	case k.Route == "":
		return fmt.Sprintf("a packet to %s goes nowhere: %s", k.To, k.Text)
	case k.Owned:
		return fmt.Sprintf("a packet to %s takes %s: Warren's", k.To, k.Route)
	}
	return fmt.Sprintf("a packet to %s takes %s: not Warren's, but %s", k.To, k.Route, k.Owner)
}

func (t *WhyTunnel) text(now time.Time) string {
	text := fmt.Sprintf("through the tunnel to %s: transport %s", t.Peer, transportText(now, t.Transport, t.CarriedBy, t.CarriedWhy, t.CarriedSince))
	if t.State != stateUp {
		text += ", which is " + t.State
	}
	return text
}
