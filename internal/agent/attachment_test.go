package agent

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"warren/internal/config"
)

// withTunnel is peer b with a second tunnel.
func withTunnel(ifname string, link int) config.Peer {
	b := peerConfig("b", 0)
	b.Tunnels = append(b.Tunnels, config.Tunnel{Interface: ifname, Link: link, MTU: 1500, Weight: 1})
	return b
}

// twoTunnels is a world with peer b, which has two tunnels, and peer c.
func twoTunnels(t *testing.T, change func(*config.Peer)) *world {
	b := withTunnel("if-b1", 1)
	change(&b)
	return newWorld(t, router(b, peerConfig("c", 0)))
}

// Each tunnel of a peer has a neighbor of its own, and the routes that are learned from it
// leave by it. When one goes its neighbor goes, and the other stays.
func TestTunnelsOfAPeerAreNeighborsEach(t *testing.T) {
	w := twoTunnels(t, func(*config.Peer) {})
	mark := len(w.diary)
	w.up(t, "b")
	w.up(t, "b/1")
	if n := w.since(mark); !slices.Contains(n, "add neighbor b") || !slices.Contains(n, "add neighbor b/1") {
		t.Errorf("noted %q", n)
	}
	first, second := w.speaker.neighbors["b"], w.speaker.neighbors["b/1"]
	if first.Interface != "if-b" || second.Interface != "if-b1" || first.LocalAddr == second.LocalAddr || second.ASN != first.ASN || second.MaxPrefixes != first.MaxPrefixes {
		t.Errorf("neighbors %+v and %+v", first, second)
	}
	w.learns(t, "10.2.0.0/16", "b")
	w.learns(t, "10.3.0.0/16", "b/1")
	expect(t, "routes", w.routes.want, []string{"10.2.0.0/16 dev if-b", "10.3.0.0/16 dev if-b1"})
	mark = len(w.diary)
	w.down(t, "b")
	expect(t, "one is down", w.since(mark), []string{"routes [10.3.0.0/16 dev if-b1]", "delete neighbor b"})
	w.learns(t, "10.2.0.0/16", "b/1")
	expect(t, "by the other", w.routes.want, []string{"10.2.0.0/16 dev if-b1", "10.3.0.0/16 dev if-b1"})

	// An import filter is the peer's, and so of all its tunnels.
	filtered := withTunnel("if-b1", 1)
	filtered.BGP.Import = config.Policy{Prefixes: []config.PrefixFilter{{Prefix: netips("10.3.0.0/16")[0], Ge: 16, Le: 16}}}
	_, lines := w.reloads(t, router(filtered, peerConfig("c", 0)))
	expect(t, "lines", lines, []string{"peer b: filters changed, session kept (bgp.import)"})
	if n := w.speaker.neighbors["b/1"]; n.Import.Any {
		t.Errorf("b/1 imports %v", n.Import)
	}
}

// A reload adds and removes tunnels of a peer one by one.
func TestReloadOfOneOfSeveralTunnels(t *testing.T) {
	w := twoTunnels(t, func(*config.Peer) {})
	w.up(t, "b")
	w.up(t, "b/1")
	noted, lines := w.reloads(t, router(peerConfig("b", 0), peerConfig("c", 0)))
	expect(t, "noted", noted, []string{"guard [if-b if-c if-b1]", "delete neighbor b/1", "sessions have ended", "close b/1", "guard [if-b if-c]"})
	expect(t, "lines", lines, []string{"peer b (b/1): tunnel removed"})
	noted, lines = w.reloads(t, router(withTunnel("if-b2", 2), peerConfig("c", 0)))
	expect(t, "noted", noted, []string{"guard [if-b if-b2 if-c]", "open b/1 on if-b2"})
	expect(t, "lines", lines, []string{"peer b (b/1): tunnel added"})
	w.up(t, "b/1")
	if len(w.speaker.neighbors) != 2 || w.speaker.neighbors["b/1"].Interface != "if-b2" {
		t.Errorf("neighbors %+v", w.speaker.neighbors)
	}
}

// What is kept of a peer with unreachable = true is kept of the peer, not of one of its tunnels:
// it is reachable while one of them is up, and forgotten when the peer has withdrawn it, by
// whatever tunnel it was learned.
func TestKeptPrefixesBelongToThePeer(t *testing.T) {
	w := twoTunnels(t, func(b *config.Peer) { b.BGP.KeepLearned = true })
	w.up(t, "b")
	w.up(t, "b/1")
	w.learns(t, "10.2.0.0/16", "b/1")
	expect(t, "learned by the second", w.routes.want, []string{"10.2.0.0/16 dev if-b1", "10.2.0.0/16 unreachable"})
	w.down(t, "b/1")
	w.learns(t, "10.2.0.0/16", "b")
	now := time.Now()
	w.speaker.since = now.Add(-time.Hour)
	w.forgets(t, now)
	expect(t, "the first is up", w.routes.want, []string{"10.2.0.0/16 dev if-b", "10.2.0.0/16 unreachable"})
	w.down(t, "b")
	w.learns(t, "10.2.0.0/16", "")
	w.forgets(t, now.Add(time.Hour))
	expect(t, "both are down", w.routes.want, []string{"10.2.0.0/16 unreachable"})
	w.up(t, "b/1")
	w.forgets(t, now.Add(2*time.Hour))
	w.forgets(t, now.Add(2*time.Hour+goneFor))
	expect(t, "withdrawn", w.routes.want, nil)
}

// Status has each tunnel with its session, its share and whether it carries; tunnel and bgp are
// those of the first.
func TestStatusOfSeveralTunnels(t *testing.T) {
	w := twoTunnels(t, func(*config.Peer) {})
	w.tunnels.waits = map[string]time.Time{"b/1": time.Now()}
	w.up(t, "b")
	p := w.status().Peers[0]
	if len(p.Tunnels) != 2 || p.Tunnel != p.Tunnels[0].Tunnel || p.BGP != p.Tunnels[0].BGP || p.BGP.State != "established" {
		t.Fatalf("%+v", p)
	}
	if u := p.Tunnels[0]; u.Link != 0 || u.Share != 1 || !u.Carrying || u.Interface != "if-b" {
		t.Errorf("the first: %+v", u)
	}
	if u := p.Tunnels[1]; u.Link != 1 || u.Share != 0 || u.Carrying || u.Interface != "if-b1" || u.State != "waiting" || u.BGP.State != "idle" {
		t.Errorf("the second: %+v", u)
	}
	w.tunnels.waits = nil
	w.up(t, "b/1")
	for i, u := range w.status().Peers[0].Tunnels {
		if u.Share != 0.5 || !u.Carrying || u.BGP.State != "established" {
			t.Errorf("tunnel %d of two that are up: %+v", i, u)
		}
	}
	w.speaker.blocked = time.Now() // the tunnels are up, and BGP is not
	if u := w.status().Peers[0].Tunnels[1]; u.Share != 0.5 || u.Carrying {
		t.Errorf("without a session: %+v", u)
	}
}

// A condition of one of several tunnels says of which, and hints do too.
func TestConditionsOfOneOfSeveralTunnels(t *testing.T) {
	w := newWorldWith(t, router(withTunnel("if-b1", 1)), func(w *world) {
		w.tunnels.fail["b/1"] = errors.New("name is taken")
	})
	w.tunnels.waits = map[string]time.Time{"b": time.Now().Add(-time.Hour)}
	s := w.status()
	c := s.Peers[0].Conditions
	if len(c) != 1 || c[0].Kind != "open_tunnel" || c[0].Interface != "if-b1" || c[0].Tries != 1 || c[0].Text != "cannot make the tunnel: name is taken" {
		t.Errorf("conditions %+v", c)
	}
	if u := s.Peers[0].Tunnels; u[0].LastError != "" || u[1].LastError != "name is taken" {
		t.Errorf("tunnels %+v", u)
	}
	if h := s.Router.Hints; len(h) != 1 || h[0].Peer != "b" || h[0].Text[:29] != "tunnel on interface if-b: thi" {
		t.Errorf("hints %+v", h)
	}
	if len(s.Router.Conditions) != 0 {
		t.Errorf("the router's: %+v", s.Router.Conditions)
	}
}

// A tunnel that goes down takes nothing of what others are told with it: the speaker still
// knows which preference the peer has there.
func TestAbsentNeighbors(t *testing.T) {
	o := newOutside(t)
	first, second := tunnelOn("if-b", 0), tunnelOn("if-b1", 1)
	first.Preference = 7
	o.play(configured{[]wantedPeer{wanted("b", first, second)}})
	asn := o.m.peers["b"].bgp.ASN
	absent := func() (all []string) {
		for _, n := range o.absent {
			if n.ASN != asn {
				t.Errorf("an absent neighbor is in AS %d", n.ASN)
			}
			all = append(all, fmt.Sprint(n.Preference))
		}
		return all
	}
	o.finish()
	expect(t, "before", absent(), []string{"7", "0"})
	ids := sortedKeys(o.open)
	for i, id := range ids {
		o.play(upEvent(id, uint16(i)))
		o.answer(never)
	}
	expect(t, "both up", absent(), nil)
	o.play(wentDown{ids[0], "test"})
	expect(t, "neighbors of the second", o.names(), []string{"b/1 on if-b1"})
	expect(t, "the first is down", absent(), []string{"7"})
}

// Where a peer has several ways, flows are spread by ports; if the kernel cannot be told, that is
// a condition, and tried again.
func TestFlowsAreSpreadByPorts(t *testing.T) {
	o := newOutside(t)
	always := func() bool { return true }
	o.play(configured{[]wantedPeer{wanted("b", tunnelOn("if-b", 0)), wanted("c", tunnelOn("if-c", 0))}})
	o.finish()
	if o.ports {
		t.Error("flows are spread by ports though no peer has several ways")
	}
	o.play(configured{[]wantedPeer{wanted("b", tunnelOn("if-b", 0), tunnelOn("if-b1", 1)), wanted("c", tunnelOn("if-c", 0))}})
	o.answer(always)
	expect(t, "while it cannot be set", o.conditions(), []string{"flow_hash"})
	o.now = o.now.Add(2 * maxRetry)
	o.play(tick{})
	o.finish()
	expect(t, "when it can", o.conditions(), nil)
	if !o.ports {
		t.Error("flows are not spread by ports")
	}
	o.play(configured{[]wantedPeer{wanted("b", tunnelOn("if-b", 0))}})
	o.finish()
	if o.ports {
		t.Error("flows are spread by ports still")
	}
}
