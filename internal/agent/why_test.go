package agent

import (
	"encoding/base64"
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"warren/bgp"
	"warren/internal/config"
	"warren/internal/link"
	"warren/internal/status"
)

const (
	whyRouter = `name = "site-a"
asn = 64512
router_id = "10.1.0.1"
[announce]
networks = [
  "10.1.0.0/16",
  "10.8.0.0/16",
]
[bgp]
cluster_id = "10.1.0.9"
[tls]
listen = ["0.0.0.0:443"]
[template.spoke.bgp]
allow_own_as = 1
import = ["any"]
`
	whyB = `[[tunnel]]
secret_file = "s"
[[tunnel]]
[bgp]
asn = 64513
import = [
  "10.0.0.0/8 le 24",
]
export = ["own", "10.0.0.0/8 le 16"]
max_prefixes = 5
`
	whyC = `template = "spoke"
[tunnel]
secret_file = "s"
link = 5
[bgp]
asn = 64513
`
	whyD = `[tunnel]
secret_file = "s"
link = 6
[bgp]
asn = 64512
import = []
`
)

// whyConfig loads a config with the peers b, with two tunnels, c and d, from files in a directory.
func whyConfig(t *testing.T) (*config.Config, string) {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{
		"warren.toml": whyRouter, "peers.d/b.toml": whyB, "peers.d/c.toml": whyC, "peers.d/d.toml": whyD,
		"s": base64.StdEncoding.EncodeToString(make([]byte, config.SecretSize)),
	} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cfg, err := config.Load(filepath.Join(dir, "warren.toml"))
	if err != nil {
		t.Fatal(err)
	}
	return cfg, dir
}

// newExplainer is one whose peers all have sessions, and where nobody announces what is asked for.
func newExplainer(cfg *config.Config, of string) *explainer {
	q, err := status.ParseWhy(of)
	if err != nil {
		panic(err)
	}
	x := &explainer{q: q, cfg: cfg, down: map[string]bool{}, used: map[string]bool{},
		protected: bgp.NewProtected(cfg.Announce.Networks, []netip.Prefix{netip.MustParsePrefix("10.7.7.7/32")})}
	x.is = bgp.Explanation{Prefix: q.Of}
	for _, p := range cfg.Peers {
		for i, t := range p.Tunnels {
			name := attachmentName(p.Name, i)
			x.sides = append(x.sides, side{name: name, peer: p, ifname: t.Interface, link: t.Link, up: true, state: stateEstablished})
			x.is.Exports = append(x.is.Exports, bgp.Export{Neighbor: name, Withheld: bgp.WithheldNothing})
		}
	}
	x.leads = func(netip.Addr) (link.Leads, error) { return link.Leads{Errno: syscall.ENETUNREACH}, nil }
	x.tunnel = func(string) (*status.WhyTunnel, error) { return nil, nil }
	return x
}

func (x *explainer) candidate(neighbor string, v bgp.Verdict, edit ...func(*bgp.Candidate)) {
	c := bgp.Candidate{Neighbor: neighbor, Verdict: v, Origin: "igp", Path: "64513", LocalPref: 100, NextHop: netip.MustParseAddr("fe80::1")}
	for _, e := range edit {
		e(&c)
	}
	x.is.Candidates = append(x.is.Candidates, c)
}

// refused adds a candidate that the policies of now refuse.
func (x *explainer) refused(neighbor string, v bgp.Verdict) {
	x.candidate(neighbor, v, func(c *bgp.Candidate) {
		_, c.Reason = policy(x.side(neighbor).peer.BGP.Import).Accepts(x.is.Prefix, x.protected)
	})
}

func at(s bgp.Step) func(*bgp.Candidate)      { return func(c *bgp.Candidate) { c.Step = s } }
func looping(l bgp.Loop) func(*bgp.Candidate) { return func(c *bgp.Candidate) { c.Loop = l } }

func (x *explainer) exported(neighbor string, w bgp.Withheld, from string) {
	for i := range x.is.Exports {
		if e := &x.is.Exports[i]; e.Neighbor == neighbor {
			e.Withheld, e.From = w, from
		}
	}
}

func (x *explainer) routed(l link.Leads) {
	x.leads = func(netip.Addr) (link.Leads, error) { return l, nil }
}

// through has the interface b be that of a tunnel.
func (x *explainer) through(p status.PeerTunnel) {
	x.tunnel = func(ifname string) (*status.WhyTunnel, error) {
		if ifname != "b" {
			return nil, nil
		}
		return p.Why("b"), nil
	}
}

// A situation, and lines that `warren why` has to print of it. DIR stands for the config's directory; a
// line that begins with an exclamation mark must not be there.
type situation struct {
	name, of string
	so       func(*explainer)
	lines    []string
}

var ours = link.Leads{Prefix: netip.MustParsePrefix("10.2.0.0/16"), Table: 254, Metric: 32, Protocol: 186, Type: 1, Interface: "b"}

var refusals = []situation{
	{"nobody announces it", "10.2.0.0/16", func(*explainer) {}, []string{
		"no peer announces it; import of b, c would take it", "kernel: a packet to 10.2.0.1 goes nowhere: there is no route",
		"not announced to b: there is no route to announce"}},
	{"nobody announces it, nor would be let in", "10.7.7.7/32", func(*explainer) {}, []string{"no peer announces it, and import of no peer would take it"}},
	{"an address that nobody announces", "192.0.2.1", func(x *explainer) { x.is.Prefix = netip.Prefix{} }, []string{
		"192.0.2.1", "no peer announces a prefix that it is in; import of c would take it"}},
	{"one peer is asked about", "10.2.0.0/16", func(x *explainer) { x.q.From = "c"; x.candidate("b", bgp.VerdictBest) }, []string{
		"no peer announces it; import of c would take it", "!best: b"}},
	{"no filter", "172.16.0.0/16", func(x *explainer) { x.refused("b", bgp.VerdictFiltered) }, []string{
		"filtered: b: no filter of import matches it [DIR/peers.d/b.toml:6 import]"}},
	{"shorter than any takes", "96.0.0.0/4", func(x *explainer) { x.refused("c", bgp.VerdictFiltered) }, []string{
		`filtered: c: is shorter than "any" takes (/8, IPv6 /16): import it by a filter of its own [DIR/warren.toml:15 import]`}},
	{"nothing is imported", "10.2.0.0/16", func(x *explainer) { x.refused("d", bgp.VerdictFiltered) }, []string{
		"filtered: d: no filter of import matches it [DIR/peers.d/d.toml:6 import]"}},
	{"over the limit", "10.2.0.0/16", func(x *explainer) { x.candidate("b", bgp.VerdictLimited) }, []string{
		"limited: b: the peer announces more than max_prefixes = 5 of the family, and those that came first are taken [DIR/peers.d/b.toml:10 max_prefixes]"}},
	{"over the limit that is the default", "10.2.0.0/16", func(x *explainer) { x.candidate("c", bgp.VerdictLimited) }, []string{
		"max_prefixes = 1000 of the family, and those that came first are taken [max_prefixes]"}},
	{"over the hard limit", "10.2.0.0/16", func(x *explainer) {
		x.candidate("b", bgp.VerdictLimited, func(c *bgp.Candidate) { c.Hard = true })
	}, []string{"limited: b: the session is down, because the peer announced more than hard_max_prefixes = 1005 of a family [hard_max_prefixes]"}},
	{"an own network", "10.8.0.0/16", func(x *explainer) { x.refused("b", bgp.VerdictOwn); x.is.Local = true }, []string{
		"own: this router announces it itself [DIR/warren.toml:7 networks]", "own: b: is this router's own: a network that it announces [DIR/warren.toml:7 networks]"}},
	{"a connected prefix", "10.9.0.0/16", func(x *explainer) {
		x.protected = bgp.NewProtected([]netip.Prefix{netip.MustParsePrefix("10.9.0.0/16")}, nil)
		x.refused("b", bgp.VerdictOwn)
	}, []string{"own: b: is this router's own: a prefix that is connected to it"}},
	{"inside an own network", "10.1.2.0/24", func(x *explainer) { x.refused("b", bgp.VerdictOwn) }, []string{
		"own: b: lies inside 10.1.0.0/16, which is this router's own: only a filter that lies inside 10.1.0.0/16 too imports it [DIR/peers.d/b.toml:6 import]"}},
	{"an address of a tunnel", "10.7.7.7/32", func(x *explainer) { x.refused("c", bgp.VerdictOwn) }, []string{
		"own: c: takes 10.7.7.7/32, an address of a tunnel or of a gateway"}},
	{"a martian", "127.1.0.0/16", func(x *explainer) { x.refused("b", bgp.VerdictMartian) }, []string{
		"martian: b: is never routed (127.0.0.0/8)", "!import]"}},
	{"own AS in the path", "10.2.0.0/16", func(x *explainer) { x.candidate("b", bgp.VerdictLooped, looping(bgp.LoopAS)) }, []string{
		"looped: b: has been here before: AS_PATH has this router's AS 64512 more often than allow_own_as = 0 (RFC 4271 section 9.1.2) [allow_own_as]"}},
	{"own AS more often than a template allows", "10.2.0.0/16", func(x *explainer) { x.candidate("c", bgp.VerdictLooped, looping(bgp.LoopAS)) }, []string{
		"more often than allow_own_as = 1 (RFC 4271 section 9.1.2) [DIR/warren.toml:14 allow_own_as]"}},
	{"own router ID", "10.2.0.0/16", func(x *explainer) { x.candidate("d", bgp.VerdictLooped, looping(bgp.LoopOriginator)) }, []string{
		"looped: d: has been here before: ORIGINATOR_ID is this router's router_id 10.1.0.1 (RFC 4456 section 8) [DIR/warren.toml:3 router_id]"}},
	{"own cluster", "10.2.0.0/16", func(x *explainer) { x.candidate("d", bgp.VerdictLooped, looping(bgp.LoopCluster)) }, []string{
		"CLUSTER_LIST has this router's cluster_id 10.1.0.9 (RFC 4456 section 8) [DIR/warren.toml:10 cluster_id]"}},
	{"malformed", "10.2.0.0/16", func(x *explainer) {
		x.candidate("b", bgp.VerdictInvalid, func(c *bgp.Candidate) { c.Text, c.Origin = "ORIGIN is 9 (RFC 7606 section 7.1)\x1b[2J", "" })
	}, []string{"invalid: b: malformed, and treated as withdrawn: ORIGIN is 9 (RFC 7606 section 7.1)?[2J", "!\x1b", "!AS_PATH"}},
	{"a tunnel is down", "10.2.0.0/16", func(x *explainer) { x.side("c").up, x.side("c").err = false, "nobody answers" }, []string{
		"unreachable: c: its tunnel is down: nobody answers; what it announces is not known, and import would take this", "not announced to c: its tunnel is down: nobody answers"}},
	{"a session is down", "10.2.0.0/16", func(x *explainer) { x.side("c").state, x.side("c").err = "active", "wrong AS" }, []string{
		"unreachable: c: there is no BGP session: wrong AS"}},
	{"the second tunnel is down, and the peer does not announce it", "10.2.0.0/16", func(x *explainer) { x.side("b/1").up = false }, []string{
		"no peer announces it", "!unreachable"}},
	{"the second tunnel is down, and the peer announces it over the first", "10.2.0.0/16", func(x *explainer) {
		x.side("b/1").up = false
		x.candidate("b", bgp.VerdictBest)
	}, []string{"best: b: the only route that can be used", "unreachable: b (b.1): its tunnel is down"}},
	{"the best way's interface cannot be used", "10.2.0.0/16", func(x *explainer) {
		x.candidate("b", bgp.VerdictBest)
		x.candidate("c", bgp.VerdictReserve, at(bgp.StepASPath))
		x.down["b"], x.used["c"] = true, true
	}, []string{"unreachable: b: interface b cannot be used now", "best: c: those that are preferred cannot be used now"}},
}

var decisions = []situation{
	{"the only one", "10.2.0.0/16", func(x *explainer) {
		x.candidate("b", bgp.VerdictBest, func(c *bgp.Candidate) { c.Communities = []string{"64513:7"} })
		x.exported("b", bgp.WithheldSource, "b")
		x.exported("b/1", bgp.WithheldSource, "b")
		x.exported("c", bgp.WithheldSameAS, "b")
		x.exported("d", bgp.Sent, "b")
		x.routed(ours)
	}, []string{
		"best: b: the only route that can be used", "AS_PATH 64513, LOCAL_PREF 100, ORIGIN igp, MED 0, next hop fe80::1, communities 64513:7",
		"kernel: a packet to 10.2.0.1 takes 10.2.0.0/16 dev b proto bgp metric 32: Warren's", "announced to: d", "not announced to b: it is learned from this peer",
		"not announced to c: it is learned from b, which is in AS 64513 too: the peer would refuse it as a loop, as as_override is not set [as_override]"}},
	{"equal ones", "10.2.0.0/16", func(x *explainer) {
		x.candidate("b", bgp.VerdictBest)
		x.candidate("b/1", bgp.VerdictBest)
		x.candidate("c", bgp.VerdictReserve, at(bgp.StepMED))
	}, []string{
		"best: b: preferred to that of c by MULTI_EXIT_DISC (RFC 4271 section 9.1.2.2 c); shares the traffic with b (b.1), as the routes are equal",
		"best: b (b.1): preferred to that of c by MULTI_EXIT_DISC", "reserve: c: that of b is preferred by MULTI_EXIT_DISC (RFC 4271 section 9.1.2.2 c)"}},
	{"communities forbid it", "10.2.0.0/16", func(x *explainer) {
		x.candidate("b", bgp.VerdictBest, func(c *bgp.Candidate) { c.Communities = []string{"NO_EXPORT", "NO_ADVERTISE"} })
		x.exported("c", bgp.WithheldNoExport, "b")
		x.exported("d", bgp.WithheldNoAdvertise, "b")
	}, []string{"not announced to c: the community NO_EXPORT forbids it", "not announced to d: the community NO_ADVERTISE forbids it"}},
	{"export", "10.2.0.0/16", func(x *explainer) {
		x.candidate("c", bgp.VerdictBest)
		x.exported("b", bgp.WithheldExport, "c")
		x.exported("d", bgp.WithheldExport, "c")
	}, []string{
		`not announced to b: export = ["own", "10.0.0.0/8 le 16"] does not pass it [DIR/peers.d/b.toml:9 export]`,
		`not announced to d: export = ["own"] does not pass it [export]`}},
	{"other reasons not to announce", "10.2.0.0/16", func(x *explainer) {
		x.exported("b", bgp.WithheldSession, "")
		x.exported("b/1", bgp.WithheldRouterID, "c")
		x.exported("c", bgp.WithheldDeferred, "")
		x.exported("d", bgp.WithheldInternal, "c")
	}, []string{
		"not announced to b: the peer has the router ID of c, from which it is learned", "not announced to c: after a restart nothing is announced before",
		"not announced to d: it is learned from c, which is in this router's own AS too", "route_reflector_client is not set [route_reflector_client]"}},
	{"one is told over its second tunnel, and one is asked about", "10.2.0.0/16", func(x *explainer) {
		x.q.To = "b"
		x.exported("b", bgp.WithheldNextHop, "")
		x.exported("b/1", bgp.Sent, "")
	}, []string{"announced to: b", "!not announced to"}},
	{"no next hop", "10.2.0.0/16", func(x *explainer) { x.exported("c", bgp.WithheldNextHop, "") }, []string{
		"not announced to c: this router has no address in the tunnel that the peer could take for the next hop of that family"}},
	{"an address", "10.2.3.4", func(x *explainer) {
		x.is.Prefix, x.is.Refused = netip.MustParsePrefix("10.2.0.0/16"), []netip.Prefix{netip.MustParsePrefix("10.2.3.0/24")}
		x.candidate("b", bgp.VerdictBest)
	}, []string{"10.2.3.4 is in 10.2.0.0/16", "more specific, announced and not used: 10.2.3.0/24", "kernel: a packet to 10.2.3.4 goes nowhere"}},
	{"a foreign route", "10.2.0.0/16", func(x *explainer) {
		x.routed(link.Leads{Table: 254, Protocol: 16, Type: 1, Prefix: netip.MustParsePrefix("0.0.0.0/0"), Interface: "eth0", Gateway: netip.MustParseAddr("192.0.2.1")})
	}, []string{"takes default via 192.0.2.1 dev eth0 proto dhcp: not Warren's, but that of another program (protocol dhcp)"}},
	{"a connected network", "10.2.0.0/16", func(x *explainer) {
		x.routed(link.Leads{Table: 254, Protocol: 2, Type: 1, Prefix: netip.MustParsePrefix("10.2.0.0/16"), Interface: "eth0"})
	}, []string{"takes 10.2.0.0/16 dev eth0 proto kernel: not Warren's, but the kernel's own, of an address of this machine"}},
	{"Warren's protocol in a table of somebody else", "10.2.0.0/16", func(x *explainer) {
		l := ours
		l.Table = 100
		x.routed(l)
	}, []string{"table 100 metric 32: not Warren's"}},
	{"an unreachable route of Warren's", "10.2.0.0/16", func(x *explainer) {
		x.nowhere = netip.MustParsePrefix("10.0.0.0/8")
		x.routed(link.Leads{Errno: syscall.EHOSTUNREACH})
	}, []string{"goes nowhere: the unreachable route of 10.0.0.0/8 takes it, and it is Warren's"}},
	{"through a tunnel", "10.2.0.0/16", func(x *explainer) {
		x.routed(ours)
		x.through(status.PeerTunnel{Tunnel: status.Tunnel{Transport: "tls", State: "up"}})
	}, []string{"Warren's\n  through the tunnel to b: transport tls\n"}},
	{"through a tunnel that is down", "10.2.0.0/16", func(x *explainer) {
		x.routed(ours)
		x.through(status.PeerTunnel{Tunnel: status.Tunnel{Transport: "auto", State: "connecting"}})
	}, []string{"Warren's\n  through the tunnel to b: transport auto, which is connecting\n"}},
	{"through a tunnel over two transports", "10.2.0.0/16", func(x *explainer) {
		x.routed(ours)
		at := status.At(time.Now().Add(-3 * time.Hour))
		x.through(status.PeerTunnel{Tunnel: status.Tunnel{Transport: "auto", State: "up"}, CarriedBy: "tls", CarriedSince: &at, CarriedWhy: "UDP is dropped"})
	}, []string{"Warren's\n  through the tunnel to b: transport auto, carried by tls for 3h", " (UDP is dropped)\n"}},
	{"a blackhole", "10.2.0.0/16", func(x *explainer) { x.routed(link.Leads{Errno: syscall.EINVAL}) }, []string{"goes nowhere: a blackhole route takes it"}},
}

// Each situation has its sentence.
func TestWhy(t *testing.T) {
	cfg, dir := whyConfig(t)
	for _, s := range append(refusals, decisions...) {
		t.Run(s.name, func(t *testing.T) {
			x := newExplainer(cfg, s.of)
			s.so(x)
			y, err := x.answer()
			if err != nil {
				t.Fatal(err)
			}
			var b strings.Builder
			if err := status.WhyTable(&b, y); err != nil {
				t.Fatal(err)
			}
			for _, line := range s.lines {
				line = strings.ReplaceAll(line, "DIR", dir)
				absent, not := strings.CutPrefix(line, "!")
				if strings.Contains(b.String(), absent) == not {
					t.Errorf("%q is expected in:\n%s", line, b.String())
				}
			}
		})
	}
}

// Each step of the decision has its name, and each reason not to announce its sentence.
func TestWhyHasAllNames(t *testing.T) {
	cfg, _ := whyConfig(t)
	seen := map[string]bool{}
	for _, step := range bgp.Steps {
		if text := stepText(step); seen[text] || !strings.Contains(text, "RFC") {
			t.Errorf("step %s: %q", step, text)
		} else {
			seen[text] = true
		}
	}
	for _, w := range bgp.AllWithheld[1:] {
		x := newExplainer(cfg, "10.2.0.0/16")
		out := x.withheld(bgp.Export{Neighbor: "c", Withheld: w, From: "b"}, x.side("c"))
		if seen[out.Reason] || out.Reason == "" {
			t.Errorf("%s: %q", w, out.Reason)
		}
		seen[out.Reason] = true
	}
}

// A peer that there is not is an error that the command knows.
func TestWhyOfNoPeer(t *testing.T) {
	cfg, _ := whyConfig(t)
	x := newExplainer(cfg, "10.2.0.0/16")
	x.q.To = "nobody"
	if err := x.checkPeers(); !errors.Is(err, status.ErrNoPeer) || !strings.Contains(err.Error(), `"nobody"`) {
		t.Error(err)
	}
}
