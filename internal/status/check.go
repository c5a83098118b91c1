package status

import (
	"fmt"
	"slices"
)

// harmless are the kinds of conditions that leave everything up.
var harmless = []string{"flow_hash", "source", "gobgp_port", "http_port", "history_file"}

// What a tunnel and a session are called that work.
const (
	stateUp          = "up"
	stateEstablished = "established"
)

// Down returns a line for each thing that is down: tunnels, sessions, routes that the kernel does not take, and
// what does not succeed and is tried again, unless nothing depends on it. What an operator has drained or taken
// down is not counted as down. peer: of that peer alone; "": of all.
func Down(s Status, peer string) (lines []string) {
	note := func(of []Condition, who string) {
		for _, c := range of {
			if !slices.Contains(harmless, c.Kind) {
				lines = append(lines, who+clean(c.Text))
			}
		}
	}
	if peer == "" {
		note(s.Router.Conditions, "")
		if s.FIB.Errors > 0 {
			lines = append(lines, fmt.Sprintf("%d routes are refused by the kernel", s.FIB.Errors))
		}
	}
	for _, p := range s.Peers {
		if peer != "" && p.Name != peer || p.Out() {
			continue
		}
		for i, t := range tunnels(p) {
			switch {
			case t.State != stateUp:
				lines = append(lines, downLine(rowName(p, i), "tunnel", t.State, t.LastError))
			case t.BGP.State != stateEstablished:
				lines = append(lines, downLine(rowName(p, i), "bgp", t.BGP.State, t.BGP.LastError))
			}
		}
		note(p.Conditions, clean(p.Name)+": ")
	}
	return lines
}

// WithoutSession returns a line for each peer that should have a BGP session and has none. One of a peer's
// tunnels with a session is enough. One that an operator has drained or taken down need not have any.
func WithoutSession(s Status) (lines []string) {
	for _, p := range s.Peers {
		all := tunnels(p)
		if !p.Out() && !slices.ContainsFunc(all, func(t PeerTunnel) bool { return t.BGP.State == stateEstablished }) {
			lines = append(lines, withoutSession(p, all))
		}
	}
	return lines
}

// withoutSession says why a peer has no session: of several tunnels, those that are up say more.
func withoutSession(p Peer, all []PeerTunnel) string {
	for _, t := range all {
		if t.State == stateUp {
			return downLine(p.Name, "bgp", t.BGP.State, t.BGP.LastError)
		}
	}
	return downLine(p.Name, "tunnel", all[0].State, all[0].LastError)
}

func downLine(who, what, state, why string) string {
	line := fmt.Sprintf("%s: %s: %s", who, what, state)
	if why != "" {
		line += ": " + why
	}
	return clean(line)
}
