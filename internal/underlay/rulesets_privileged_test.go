//go:build privileged

package underlay

import (
	"net"
	"strings"
	"testing"
)

// Rules that programs make, made with ip, and the way that the kernel finds for a marked
// packet (`ip route get`). The host has two lines: u1, which the default route of table
// main takes, and u2. A learned default route leads into tun0, and so does a foreign
// one in table 77. Table 200 has a default route through u2, and 52 one through vpn0,
// which is no tunnel of a peer.
//
// In the commands and arguments, R is the remote, A another address that only default
// routes lead to, S1 and S2 are the host's addresses on the lines, G1 and G2 the
// gateways, P the prefix that holds R.
var installedSets = []struct {
	name  string
	rules []string          // arguments of `ip rule add`
	ways  map[string]string // from arguments of `ip route get` to a part of the answer
}{
	{"Tailscale",
		[]string{"pref 5210 fwmark 0x80000/0xff0000 lookup main", "pref 5230 fwmark 0x80000/0xff0000 lookup default",
			"pref 5250 fwmark 0x80000/0xff0000 unreachable", "pref 5270 lookup 53"},
		map[string]string{"R": "dev u1", "A": "dev u1"}},
	{"Tailscale with an exit node",
		[]string{"pref 5210 fwmark 0x80000/0xff0000 lookup main", "pref 5270 lookup 52"},
		map[string]string{"R": "dev vpn0", "A": "dev vpn0"}},
	{"an interface's rule before another table's", []string{"pref 100 iif u2 lookup main", "pref 200 lookup 200"},
		map[string]string{"R": "dev u2"}},
	{"wg-quick's", []string{"pref 32765 not fwmark 0xca6c lookup 52", "pref 32764 lookup main suppress_prefixlength 0"},
		map[string]string{"R": "dev vpn0", "G2": "dev u2", "A from S2": "dev vpn0"}},
	{"wg-quick's, into a peer's tunnel", []string{"pref 32765 not fwmark 0xca6c lookup 77", "pref 32764 lookup main suppress_prefixlength 0"},
		map[string]string{"R": "dev u1", "G2": "dev u2", "A": "dev u1"}},
	{"two lines by source",
		[]string{"pref 90 lookup main suppress_prefixlength 0", "pref 100 from S2 lookup 200"},
		map[string]string{"R": "dev u1", "R from S1": "dev u1", "R from S2": "dev u2", "G1 from S2": "dev u1"}},
	{"two lines by source, after a destination's rule",
		[]string{"pref 90 to P lookup main", "pref 100 from S2 lookup 200"},
		map[string]string{"R": "dev u1", "R from S2": "dev u1", "A from S2": "dev u2", "A": "dev u1"}},
	{"mwan3's", []string{"pref 1001 iif u1 lookup 200", "pref 2001 fwmark 0x100/0x3f00 lookup 200",
		"pref 2061 fwmark 0x3d00/0x3f00 blackhole", "pref 2062 fwmark 0x3e00/0x3f00 unreachable"},
		map[string]string{"R": "dev u1", "A from S2": "dev u1"}},
	{"systemd-networkd's", []string{"pref 10 not fwmark 0x8888 lookup 77 proto static", "pref 100 from S2 lookup main suppress_prefixlength 0 proto static",
		"pref 110 from S2 lookup 200 proto static", "pref 120 uidrange 1000-1999 lookup 52 proto static"},
		map[string]string{"R": "dev u1", "A from S2": "dev u2", "G1 from S2": "dev u1"}},
	{"by protocol and port", []string{"pref 10 ipproto icmp lookup 52", "pref 20 ipproto udp dport 53 lookup main", "pref 30 ipproto udp lookup 200"},
		map[string]string{"R ipproto udp dport 51820": "dev u2", "R ipproto udp dport 53": "dev u1", "R ipproto tcp dport 443": "dev u1"}},
	{"by the interface a socket is bound to", []string{"pref 10 oif u2 lookup main", "pref 20 lookup 200"},
		map[string]string{"R": "dev u2", "G1 oif u1": "dev u1", "R oif u1": "dev u1"}},
	{"not from a network", []string{"pref 10 not from S2 lookup main", "pref 20 lookup 200"},
		map[string]string{"R": "dev u1", "R from S1": "dev u1", "R from S2": "dev u2"}},
	{"gotos", []string{"pref 40000 lookup main", "pref 20 from S2 goto 40000", "pref 30 nop", "pref 40 lookup 200"},
		map[string]string{"R": "dev u2", "R from S2": "dev u1"}},
	{"a table with ways into the tunnel", []string{"pref 1000 lookup 77"},
		map[string]string{"R": "dev u1", "A": "dev u1"}},
	{"an end", []string{"pref 10 from S2 prohibit", "pref 20 to P lookup main", "pref 30 unreachable"},
		map[string]string{"R": "dev u1", "R from S2": "Permission denied", "A": "unreachable"}},
}

// placeholders are for TestInstalledRuleSets, by family.
var placeholders = map[string]*strings.Replacer{
	"-4": strings.NewReplacer("R", remote4, "A", "203.0.113.9", "S1", "10.9.1.1", "S2", "10.9.2.1", "G1", "10.9.1.2", "G2", "10.9.2.2", "P", "198.51.100.0/24"),
	"-6": strings.NewReplacer("R", remote6, "A", "2001:db8:77::9", "S1", "fd09:1::1", "S2", "fd09:2::1", "G1", "fd09:1::2", "G2", "fd09:2::2", "P", "2001:db8:99::/48"),
}

// installSet makes the routes and rules of a set.
func (h *host) installSet(flag, net2 string, rules []string) {
	h.t.Helper()
	h.ip("tuntap add mode tun name vpn0")
	h.ip("link set vpn0 up")
	h.ip(flag + " route add default via " + net2 + "2 table 200")
	h.ip(flag + " route add default dev vpn0 table 52")
	h.ip(flag + " route add default dev tun0 table 77")
	for _, r := range rules {
		h.ip(flag + " rule add " + placeholders[flag].Replace(r))
	}
}

func TestInstalledRuleSets(t *testing.T) {
	for _, set := range installedSets {
		t.Run(set.name, func(t *testing.T) {
			both(t, func(t *testing.T, flag, _, _, net2 string) {
				h := newHost(t)
				h.swallow()
				h.installSet(flag, net2, set.rules)
				before := h.ip("-4 rule") + h.ip("-6 rule")
				_, stop := h.guard(nil)
				for args, want := range set.ways {
					if way := h.way(placeholders[flag].Replace(args)); !strings.Contains(way, want) {
						t.Errorf("marked to %s: %s, want %s\n%s", args, way, want, h.ip(flag+" rule"))
					}
				}
				stop()
				if after := h.ip("-4 rule") + h.ip("-6 rule"); after != before {
					t.Errorf("after stop:\n%s\nbefore start:\n%s", after, before)
				}
			})
		})
	}
}

// The same, made one after the other while a guard runs, and taken away again.
func TestRuleSetsComeAndGo(t *testing.T) {
	both(t, func(t *testing.T, flag, remote, _, net2 string) {
		h := newHost(t)
		h.swallow()
		h.installSet(flag, net2, nil)
		h.guard(nil)
		plain := h.rules(flag)
		for _, set := range installedSets {
			for _, r := range set.rules {
				h.ip(flag + " rule add " + placeholders[flag].Replace(r))
			}
			h.eventually(set.name, func() bool {
				for args, want := range set.ways {
					if !strings.Contains(h.way(placeholders[flag].Replace(args)), want) {
						return false
					}
				}
				return true
			})
			for _, r := range set.rules {
				h.ip(flag + " rule del " + placeholders[flag].Replace(r))
			}
			h.eventually("without "+set.name, func() bool { return h.rules(flag) == plain })
		}
	})
}

// Real packets, from a source that has a line of its own.
func TestMarkedConnectionTakesItsLine(t *testing.T) {
	both(t, func(t *testing.T, flag, remote, net1, net2 string) {
		h := newHost(t)
		addr := h.serve(remote)
		h.swallow()
		h.installSet(flag, net2, []string{"pref 90 lookup main suppress_prefixlength 0", "pref 100 from S2 lookup 200"})
		// Only table 200 has a way: without it, nothing comes back.
		h.ip(flag + " route del default metric 100")
		g, _ := h.guard(nil)
		d := net.Dialer{Timeout: patience, Control: g.Control(""), LocalAddr: &net.TCPAddr{IP: net.ParseIP(net2 + "1")}}
		c, err := d.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if err := roundTrip(c); err != nil {
			t.Fatal(err)
		}
		if n := h.sent(); n != 0 {
			t.Errorf("%d packets went into the tunnel", n)
		}
	})
}

// A route into the tunnel may come into another program's table at any time, and go.
func TestTableBecomesUnsafe(t *testing.T) {
	both(t, func(t *testing.T, flag, remote, _, net2 string) {
		h := newHost(t)
		h.swallow()
		h.installSet(flag, net2, []string{"pref 1000 lookup 200"})
		h.guard(nil)
		if way := h.way(remote); !strings.Contains(way, "dev u2 table 200") {
			t.Errorf("marked packets go %s", way)
		}
		h.ip(flag + " route add " + remote + " dev tun0 table 200")
		h.eventually("it is copied", func() bool { return strings.Contains(h.way(remote), "dev u2 table 827900200") })
		h.ip(flag + " route del default table 200")
		h.eventually("the copy is followed", func() bool { return strings.Contains(h.way(remote), "dev u1") })
		h.ip(flag + " route del " + remote + " table 200")
		h.ip(flag + " route add default via " + net2 + "3 table 200")
		h.eventually("it is not needed any more", func() bool { return strings.Contains(h.way(remote), "dev u2 table 200") })
		h.eventually("nor kept", func() bool {
			out, err := runCommand("ip " + flag + " route show table 827900200")
			return err != nil || out == ""
		})
	})
}
