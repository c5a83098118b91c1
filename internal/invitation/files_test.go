package invitation

import (
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"warren/internal/config"
	"warren/internal/peerfile"
)

const siteText = "name = \"site-a\"\nasn = 64512\nrouter_id = \"10.1.0.1\"\n[announce]\nnetworks = [\"10.1.0.0/16\"]\n[tls]\nlisten = [\"0.0.0.0:443\"]\n"

// site writes a config to a directory of its own.
func aSite(t *testing.T, files map[string]string) *config.Config {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c, err := config.Load(filepath.Join(dir, "warren.toml"))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func hostWith(ifname string, addresses ...string) (h config.Host) {
	i := config.HostInterface{Name: ifname}
	for _, a := range addresses {
		i.Addresses = append(i.Addresses, netip.MustParsePrefix(a))
	}
	h.Interfaces = []config.HostInterface{i}
	return h
}

var wan = hostWith("wan0", "198.51.100.2/30", "fe80::1/64", "192.168.0.1/24")

// does checks a plan and does it, and returns the config that it makes.
func does(t *testing.T, p *peerfile.Plan) *config.Config {
	t.Helper()
	want, err := p.Check()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Do(); err != nil {
		t.Fatal(err)
	}
	got, err := config.Load(p.Config)
	if err != nil || len(got.Peers) != len(want.Peers) {
		t.Fatalf("%v, %v", got, err)
	}
	return got
}

const udpText = "name = \"site-a\"\nasn = 64512\nrouter_id = \"10.1.0.1\"\n[announce]\nnetworks = [\"10.1.0.0/16\"]\n[wireguard]\nlisten_port = 51820\n"

// The two ends fit: each knows, reaches and accepts the other, over either transport. Then both can be removed again without a trace.
func TestInviteAndJoin(t *testing.T) {
	both := siteText + "[wireguard]\nlisten_port = 51820\n"
	for name, c := range map[string]struct {
		site, wanted  string
		asn           uint32
		over, at, via string
	}{
		"tls":                        {siteText, "", 0, config.TransportTLS, "198.51.100.2:443", "tcp/443"},
		"tls, where both are":        {both, "", 0, config.TransportTLS, "198.51.100.2:443", "tcp/443"},
		"wireguard":                  {udpText, "", 0, config.TransportWireGuard, "198.51.100.2:51820", "udp/51820"},
		"wireguard, as is asked":     {both, config.TransportWireGuard, 0, config.TransportWireGuard, "198.51.100.2:51820", "udp/51820"},
		"wireguard in one AS":        {udpText, "", 64512, config.TransportWireGuard, "198.51.100.2:51820", "udp/51820"},
		"tls in one AS, as is asked": {both, config.TransportTLS, 64512, config.TransportTLS, "198.51.100.2:443", "tcp/443"},
	} {
		t.Run(name, func(t *testing.T) {
			a := aSite(t, map[string]string{"warren.toml": c.site})
			wish := Wish{Name: "site-b", Import: []string{"10.2.0.0/16", "2001:db8:2::/48"}, Valid: time.Hour, Transport: c.wanted, ASN: c.asn}
			line := joinsAs(t, a, wish, c.at, c.over)
			if line.Ports() != c.via {
				t.Errorf("reached at %s", line.Ports())
			}
		})
	}
}

// joinsAs invites a router to a and has one join that has nothing, and then has each remove the other.
func joinsAs(t *testing.T, a *config.Config, wish Wish, at, over string) *Line {
	t.Helper()
	now := time.Now()
	line, plan, err := Make(a, wan, wish, now)
	if err != nil {
		t.Fatal(err)
	}
	a = does(t, plan)
	line, err = Parse(line.String())
	if err != nil || len(line.Remotes) != 1 || line.Remotes[0] != at || line.Transport != over {
		t.Fatalf("%+v, %v", line, err)
	}
	path := filepath.Join(t.TempDir(), "etc", "warren", "warren.toml")
	plan, err = Join(path, nil, config.Host{}, line, Answer{}, now)
	if err != nil {
		t.Fatal(err)
	}
	b := does(t, plan)
	if b.Name != "site-b" || b.RouterID != netip.MustParseAddr("10.2.0.0").Next() || b.ASN < firstPrivate && b.ASN != wish.ASN || len(b.Announce.Networks) != 2 {
		t.Errorf("joined as %+v", b)
	}
	atA, atB := a.Peer("site-b"), b.Peer("site-a")
	if atA == nil || atB == nil || atA.BGP.ASN != b.ASN || atB.BGP.ASN != a.ASN || atB.Tunnels[0].Remotes[0].String() != at ||
		atB.BGP.Import.Prefixes[0].Prefix != a.Announce.Networks[0] || string(atA.Invited().Secret) != string(atB.Invited().Secret) ||
		atA.Invited().Role != config.RoleInviting || atB.Invited().Role != config.RoleJoined || !atA.Invited().Until.Equal(line.Until) {
		t.Errorf("%+v and %+v", atA, atB)
	}
	ta, tb := atA.Tunnels[0], atB.Tunnels[0]
	if ta.Transport != over || tb.Transport != over || over == config.TransportWireGuard && ta.Trust.First == tb.Trust.First {
		t.Errorf("over %s and %s; first %v and %v", ta.Transport, tb.Transport, ta.Trust.First, tb.Trust.First)
	}
	if one := over == config.TransportWireGuard && wish.ASN == a.ASN; ta.PeerAddress.IsValid() != one ||
		one && (ta.PeerAddress != tb.Address[0].Addr() || tb.PeerAddress != ta.Address[0].Addr()) {
		t.Errorf("addresses %v to %v, and %v to %v", ta.Address, ta.PeerAddress, tb.Address, tb.PeerAddress)
	}
	for c, peer := range map[*config.Config]string{a: "site-b", b: "site-a"} {
		plan, err := peerfile.Removal(c, peer)
		if err != nil {
			t.Fatal(err)
		}
		does(t, plan)
		left, err := filepath.Glob(filepath.Join(filepath.Dir(c.Path), "*", "*"))
		more, _ := filepath.Glob(filepath.Join(filepath.Dir(c.Path), "*.*"))
		if err != nil || len(left) != 0 || len(more) != 2 { // warren.toml, and peers.d, empty
			t.Errorf("left: %q %q", left, more)
		}
	}
	return line
}

// Two routers that are invited over WireGuard have other addresses each, so that no two neighbors have the same.
func TestLinkLocals(t *testing.T) {
	seen := map[netip.Addr]bool{}
	for range 10 {
		one, two := linkLocals(someLine().Secret)
		if !one.IsLinkLocalUnicast() || !two.IsLinkLocalUnicast() || one == two || seen[one] || seen[two] {
			t.Errorf("%v and %v", one, two)
		}
		seen[one], seen[two] = true, true
	}
}

func TestClashes(t *testing.T) {
	now := time.Now()
	a := aSite(t, map[string]string{
		"warren.toml":           siteText,
		"c.secret":              "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=",
		"peers.d/site-c.toml":   "[tunnel]\nsecret_file = \"c.secret\"\n[bgp]\nasn = 64514\nimport = [\"10.3.0.0/16 le 24\"]\n",
		"site-stale.secret":     "x",
		"site-other.invitation": "x",
	})
	deaf, udp := *a, *a
	deaf.TLS.Listen, udp.TLS.Listen = nil, nil
	udp.WireGuard.ListenPort = 51820
	for want, c := range map[string]struct {
		cfg  *config.Config
		host config.Host
		wish Wish
	}{
		"site-c is a peer already":        {a, wan, Wish{Name: "site-c", Import: []string{"10.2.0.0/16"}}},
		"the name of this router itself":  {a, wan, Wish{Name: "site-a", Import: []string{"10.2.0.0/16"}}},
		"learned from site-c already":     {a, wan, Wish{Name: "site-b", Import: []string{"10.3.0.0/16"}}},
		"this router announces 10.1.0.0":  {a, wan, Wish{Name: "site-b", Import: []string{"10.1.0.0/16"}}},
		"interface wan0 is in it":         {a, wan, Wish{Name: "site-b", Import: []string{"192.168.0.0/24"}}},
		"site-stale.secret is there":      {a, wan, Wish{Name: "site-stale", Import: []string{"10.2.0.0/16"}}},
		"site-other.invitation exists":    {a, wan, Wish{Name: "site-other", Import: []string{"10.2.0.0/16"}}},
		"another machine can reach none":  {a, hostWith("lo0", "169.254.3.1/16", "fe80::1/64"), Wish{Name: "site-b", Import: []string{"10.2.0.0/16"}}},
		"this router listens nowhere: se": {&deaf, wan, Wish{Name: "site-b", Import: []string{"10.2.0.0/16"}}},
		"until then nobody could come":    {&deaf, wan, Wish{Name: "site-b", Import: []string{"10.2.0.0/16"}, Remotes: []string{"b.example.net:443"}}},
		"set listen_port in [wireguard]":  {a, wan, Wish{Name: "site-b", Import: []string{"10.2.0.0/16"}, Transport: config.TransportWireGuard}},
		"does not listen for TLS: set li": {&udp, wan, Wish{Name: "site-b", Import: []string{"10.2.0.0/16"}, Transport: config.TransportTLS}},
	} {
		c.wish.Valid = time.Hour
		if _, _, err := Make(c.cfg, c.host, c.wish, now); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	if _, _, err := Make(a, wan, Wish{Name: "site-b", Import: []string{"10.3.0.0/16"}, Shared: true, Valid: time.Hour}, now); err != nil {
		t.Error(err)
	}
	line := someLine()
	line.Until = now.Add(time.Hour)
	for want, change := range map[string]func(*Line){
		"expects 4200000001: have it invited with --asn 64512": func(*Line) {},
		"learned from site-c already":                          func(l *Line) { l.Invited.ASN, l.Announced = 64512, []string{"10.3.0.0/16"} },
		"this router announces 10.1.0.0/16 itself":             func(l *Line) { l.Invited.ASN = 64512 },
		"the term of this invitation ended":                    func(l *Line) { l.Until = now.Add(-time.Minute) },
	} {
		l := *line
		l.Inviting.Name = "site-d"
		change(&l)
		if _, err := Join(a.Path, a, wan, &l, Answer{}, now); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

// A name that no interface can have, or that one has already, gets another interface.
func TestInterfaceOfAPeer(t *testing.T) {
	a := aSite(t, map[string]string{"warren.toml": siteText})
	for _, name := range []string{"wan0", "a-site-with-a-long-name.example.net", "default"} {
		_, plan, err := Make(a, wan, Wish{Name: name, Import: []string{"10.2.0.0/16"}, Valid: time.Hour}, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		c, err := plan.Check()
		if err != nil || c.Peers[0].Tunnels[0].Interface == "wan0" {
			t.Errorf("%s: %+v, %v", name, c, err)
		}
	}
}

func TestAddresses(t *testing.T) {
	listen := func(texts ...string) (all []netip.AddrPort) {
		for _, s := range texts {
			all = append(all, netip.MustParseAddrPort(s))
		}
		return all
	}
	host := []netip.Addr{netip.MustParseAddr("10.1.0.1"), netip.MustParseAddr("192.168.0.1"), netip.MustParseAddr("198.51.100.2"),
		netip.MustParseAddr("2001:db8::2"), netip.MustParseAddr("fe80::1")}
	own := []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16")}
	for _, c := range []struct {
		listen []netip.AddrPort
		host   []netip.Addr
		want   string
	}{
		{listen("0.0.0.0:443"), host, "198.51.100.2:443"},
		{listen("0.0.0.0:443", "[::]:8443"), host, "198.51.100.2:443 [2001:db8::2]:8443"},
		{listen("0.0.0.0:443"), host[:2], "192.168.0.1:443"},
		{listen("0.0.0.0:443"), host[:1], "10.1.0.1:443"},
		{listen("203.0.113.9:443"), nil, "203.0.113.9:443"},
		{listen("127.0.0.1:443", "[::]:443"), host[4:], ""},
		{nil, host, ""},
	} {
		got, err := Addresses(c.listen, c.host, own)
		if strings.Join(got, " ") != c.want || (err != nil) != (c.want == "") {
			t.Errorf("%v: %v, %v", c.listen, got, err)
		}
	}
}
