//go:build privileged

package engine

import (
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	gobgp "github.com/osrg/gobgp/v4/pkg/packet/bgp"
)

// TestNoExtendedNextHop has a peer that does not take IPv4 prefixes with an
// IPv6 next hop: it must not be sent any (RFC 8950 section 4), but with an IPv4
// next hop where there is one.
func TestNoExtendedNextHop(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	s, far := tunnelSpeaker(t)
	if err := s.SetAnnounced(t.Context(), prefixes("10.1.0.0/16", "2001:db8:1::/48")); err != nil {
		t.Fatal(err)
	}
	session := func(addresses ...string) *rawPeer {
		t.Helper()
		add(t, s, "b", "fd00:179::1", "fd00:179::2", addresses...)
		p := far.connect(s, "b", "fd00:179::2", "fd00:179::1")
		p.establishAs(openMessage(t, 64513, "10.0.0.2"))
		waitState(t, s, "b", "established")
		return p
	}
	p := session("10.179.0.1/24")
	hops := p.nextHops(2)
	if h := hops["10.1.0.0/16"]; h != netip.MustParseAddr("10.179.0.1") {
		t.Errorf("IPv4 next hop is %s", h)
	}
	if st := statusOf(s, "b"); st.Announced != 2 || st.LastError != "" {
		t.Errorf("%+v", st)
	}
	if err := s.DeleteNeighbor(t.Context(), "b"); err != nil {
		t.Fatal(err)
	}
	p.conn.Close()

	p = session()
	if st := statusOf(s, "b"); st.Announced != 1 || !strings.Contains(st.LastError, "RFC 8950") {
		t.Errorf("%+v", st)
	}
	// Neither now nor when another prefix shows that all was sent.
	if err := s.SetAnnounced(t.Context(), prefixes("10.1.0.0/16", "10.2.0.0/16", "2001:db8:1::/48", "2001:db8:2::/48")); err != nil {
		t.Fatal(err)
	}
	if hops := p.nextHops(2); !hops["2001:db8:1::/48"].Is6() || !hops["2001:db8:2::/48"].Is6() {
		t.Errorf("next hops %v", hops)
	}
	p.serve()

	// The operator allows it there: the next session brings the rest.
	p.conn.Close()
	p = far.connect(s, "b", "fd00:179::2", "fd00:179::1")
	p.establish(64513, "10.0.0.2")
	if hops := p.nextHops(4); hops["10.2.0.0/16"] != netip.MustParseAddr("fd00:179::1") {
		t.Errorf("next hops %v", hops)
	}
}

// TestEndOfRIBBehindAll: GoBGP's first End-of-RIB marker goes out before it is known
// which next hops the peer takes, and so before the prefixes that need one of those.
func TestEndOfRIBBehindAll(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	s, far := tunnelSpeaker(t)
	originate(t, s, "10.1.0.0/16", "2001:db8:1::/48")
	add(t, s, "b", "fd00:179::1", "fd00:179::2")
	for _, family := range []gobgp.Family{gobgp.RF_IPv4_UC, gobgp.RF_IPv6_UC} {
		p := far.connect(s, "b", "fd00:179::2", "fd00:179::1")
		p.establishAs(openMessage(t, 64513, "10.0.0.2", graceful(false, true, 60), extendedNextHop))
		prefix := map[gobgp.Family]string{gobgp.RF_IPv4_UC: "10.1.0.0/16", gobgp.RF_IPv6_UC: "2001:db8:1::/48"}[family]
		if got := p.untilEndOfRIB(family); !got.announces(prefix) {
			t.Errorf("before End-of-RIB came %v", got)
		}
		// The next one is on another connection of the same session, if there are routes.
		p.conn.Close()
	}
}

const birdConf = `
router id 10.0.0.2;
protocol device { scan time 1; }
protocol static { ipv4; route 10.2.0.0/16 blackhole; }
protocol static { ipv6; route 2001:db8:2::/48 blackhole; }
protocol kernel { ipv4 { import none; export where source = RTS_BGP; }; }
protocol kernel { ipv6 { import none; export where source = RTS_BGP; }; }
protocol bgp warren {
  local %s as 64513;
  neighbor %s as 64512;
  connect delay time 1; connect retry time 1; error wait time 1, 2;
  ipv4 { import all; export where source = RTS_STATIC; %s };
  ipv6 { import all; export where source = RTS_STATIC; };
}
`

// TestBird has BIRD, which refuses what it cannot use, as the far end of
// sessions over each kind of address: both families go both ways, and into its
// kernel's tables.
func TestBird(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	if _, err := exec.LookPath("bird"); err != nil {
		t.Fatal("bird is not installed: apt install bird2, or make deps")
	}
	s, far := tunnelSpeaker(t)
	announce := func(list ...string) {
		t.Helper()
		if err := s.SetAnnounced(t.Context(), prefixes(list...)); err != nil {
			t.Fatal(err)
		}
	}
	// A tunnel has no duplicate address detection, the pair of interfaces here has.
	eventually(t, 40*time.Second, func() string { return far.output("ip addr show tentative") })
	for _, tt := range []struct{ name, local, peer, options, via4, via6 string }{
		{"IPv4", "10.179.0.1", "10.179.0.2", "", "via 10.179.0.1 dev tun0", "via fd00:179::1 dev tun0"},
		{"global IPv6", "fd00:179::1", "fd00:179::2", "extended next hop on;", "via inet6 fd00:179::1 dev tun0", "via fd00:179::1 dev tun0"},
		{"IPv6 link-local", "fe80::1", "fe80::2", "extended next hop on;", "via inet6 fe80::1 dev tun0", "via fe80::1 dev tun0"},
		{"IPv6, no RFC 8950", "fd00:179::1", "fd00:179::2", "", "via 10.179.0.1 dev tun0", "via fd00:179::1 dev tun0"},
	} {
		announce("10.1.0.0/16", "2001:db8:1::/48")
		bird := far.startBird(tt.local, tt.peer, tt.options)
		add(t, s, "b", tt.local, tt.peer, "10.179.0.1/24", "fd00:179::1/64")
		waitRoutes(t, s, "b", "10.2.0.0/16", "2001:db8:2::/48")
		for table, want := range map[string]string{
			"ip -4 route show proto bird": "10.1.0.0/16 " + tt.via4, "ip -6 route show proto bird": "2001:db8:1::/48 " + tt.via6,
		} {
			eventually(t, 40*time.Second, func() string {
				if out := far.output(table); !strings.Contains(out, want) {
					return fmt.Sprintf("%s: %s: %s", tt.name, table, out)
				}
				return ""
			})
		}
		since := statusOf(s, "b").Since
		announce("10.1.0.0/16", "10.3.0.0/16", "2001:db8:1::/48")
		eventually(t, 40*time.Second, func() string {
			if out := far.output("ip -4 route show proto bird"); !strings.Contains(out, "10.3.0.0/16") {
				return tt.name + ": " + out
			}
			return ""
		})
		if st := statusOf(s, "b"); st.State != stateEstablished || !st.Since.Equal(since) || st.LastError != "" {
			t.Errorf("%s: %+v", tt.name, st)
		}
		if err := s.DeleteNeighbor(t.Context(), "b"); err != nil {
			t.Fatal(err)
		}
		bird.Process.Kill()
		bird.Wait()
		far.run("ip -4 route flush proto bird")
		far.run("ip -6 route flush proto bird")
	}
}

func (f farEnd) startBird(local, peer, options string) *exec.Cmd {
	f.t.Helper()
	dir := f.t.TempDir()
	conf := filepath.Join(dir, "bird.conf")
	neighbor := local
	if strings.HasPrefix(local, "fe80:") {
		neighbor += "%tun0"
	}
	if err := os.WriteFile(conf, fmt.Appendf(nil, birdConf, peer, neighbor, options), 0o600); err != nil {
		f.t.Fatal(err)
	}
	cmd := exec.CommandContext(f.t.Context(), "bird", "-f", "-c", conf, "-s", filepath.Join(dir, "bird.ctl"))
	cmd.Stderr = testWriter{f.t} // it logs there for want of other orders
	if err := f.Do(cmd.Start); err != nil {
		f.t.Fatal(err)
	}
	return cmd
}

func (f farEnd) output(command string) (out string) {
	f.t.Helper()
	if err := f.Do(func() error { out = run(f.t, command); return nil }); err != nil {
		f.t.Fatal(err)
	}
	return out
}
