package status

import (
	"fmt"
	"strings"
)

// Gist is a text that is the same for two statuses that differ in nothing but times, counters, and what
// follows from these. It is not for people.
func Gist(s Status) string {
	var b strings.Builder
	note := func(parts ...any) { fmt.Fprintf(&b, "%q\n", fmt.Sprint(parts...)) }
	note(s.Router.Name, s.Router.ASN, s.Router.RouterID, s.Router.Version, s.Router.Source, s.Router.Speaker.Restarts)
	conditions := func(all []Condition) {
		for _, c := range all {
			note(c.Kind, c.Interface, c.Text)
		}
	}
	conditions(s.Router.Conditions)
	for _, p := range s.Peers {
		note(p.Name)
		conditions(p.Conditions)
		for _, t := range tunnels(p) {
			note(t.Transport, t.Interface, t.State, t.Remote, t.Key, t.LastError, t.Flaps, share(t))
			g := t.BGP
			note(g.Address, g.ASN, g.State, g.LastError, g.Flaps, g.Received, g.Accepted, g.Refused, g.Announced, g.Stale)
		}
	}
	note(s.FIB)
	return b.String()
}

// Trouble is a text about what is wrong, of one line or more.
func (v View) Trouble(text string) string {
	var b strings.Builder
	v.lines(&b, bad, cleanLines(text))
	return b.String()
}

// cleanLines is clean for a text of several lines.
func cleanLines(text string) string {
	lines := strings.Split(text, "\n")
	for i := range lines {
		lines[i] = clean(lines[i])
	}
	return strings.Join(lines, "\n")
}
