package status

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"warren/internal/history"
)

func well() Status {
	t := PeerTunnel{Tunnel: Tunnel{State: "up"}, BGP: BGP{State: "established"}}
	return Status{Peers: []Peer{{Name: "a", Tunnels: []PeerTunnel{t}}, {Name: "b", Tunnels: []PeerTunnel{t, t}}}}
}

func TestDown(t *testing.T) {
	for _, c := range []struct {
		edit func(*Status)
		peer string
		want string
	}{
		{func(*Status) {}, "", "[]"},
		{func(s *Status) { s.Peers[1].Tunnels[1].State, s.Peers[1].Tunnels[1].LastError = "connecting", "no\x1b" }, "", "[b/1: tunnel: connecting: no?]"},
		{func(s *Status) { s.Peers[1].Tunnels[1].State = "connecting" }, "a", "[]"},
		{func(s *Status) { s.Peers[0].Tunnels[0].BGP.State = "active" }, "a", "[a: bgp: active]"},
		{func(s *Status) { s.FIB.Errors = 2 }, "", "[2 routes are refused by the kernel]"},
		{func(s *Status) {
			s.Router.Conditions = []Condition{{Kind: "listen_tls", Text: "x"}, {Kind: "flow_hash", Text: "y"}}
		}, "", "[x]"},
		{func(s *Status) { s.Peers[0].Conditions = []Condition{{Kind: "interface", Text: "x"}} }, "", "[a: x]"},
		{func(s *Status) { s.Peers[0].Tunnels[0].State, s.Peers[0].Down = "down", &TakenDown{} }, "", "[]"},
		{func(s *Status) { s.Peers[0].Tunnels[0].BGP.State, s.Peers[0].Drained = "active", &Drain{} }, "", "[]"},
	} {
		s := well()
		c.edit(&s)
		if got := fmt.Sprint(Down(s, c.peer)); got != c.want {
			t.Errorf("got %s, want %s", got, c.want)
		}
	}
}

func TestPeerText(t *testing.T) {
	s := example()
	p := s.Peers[0]
	p.History = []history.Event{{Kind: history.TunnelDown, Peer: p.Name, Cause: "no\x1banswer", Time: history.At(time.Now())}}
	p.BGP.Flaps = 2
	for i := range p.Tunnels {
		p.Tunnels[i].BGP.Flaps, p.Tunnels[i].BGP.LastReset = 2, Reset{s.Time, "hold timer"}
	}
	loss := 0.0123
	p.Tunnels[0].Transport, p.Tunnels[0].CarriedBy, p.Tunnels[0].CarriedSince, p.Tunnels[0].CarriedWhy = "auto", "tls", &s.Time, "UDP is lost"
	p.Tunnels[0].Ways = []Carrier{
		{Transport: "tls", State: "up", Since: s.Time, Remote: "192.0.2.1:443", RTT: Millis(12 * time.Millisecond)},
		{Transport: "wireguard", State: "connecting", Loss: &loss, LastError: "no\x1banswer"},
	}
	s = s.Of(p)
	s.Router.Hints = []Hint{{Peer: p.Name, Text: "look up"}}
	var b strings.Builder
	if err := PeerText(&b, s); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{p.Name + "\n", "2 times, the last time 0s ago: hold timer", "hint: look up",
		"auto, carried by tls for 0s (UDP is lost)\n", "over tls ", "  up for 0s, 192.0.2.1:443, round trip 12", "over wireguard ", "  connecting, 1.2 % lost, ", ", no?answer\n", "tunnel_down  no?answer"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("no %q in\n%s", want, b.String())
		}
	}
}
