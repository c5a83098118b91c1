package underlay

import (
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

func TestNewRefuses(t *testing.T) {
	for _, tt := range []struct {
		config Config
		want   string
	}{
		{Config{}, "1 to 255"},
		{Config{FIBProtocol: 256}, "1 to 255"},
		{Config{FIBProtocol: 186, FIBTable: Table}, "guard's own"},
		{Config{FIBProtocol: 186, FIBTable: lastTable}, "guard's own"},
	} {
		if _, err := New(tt.config); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("New(%+v) = %v, want %q", tt.config, err, tt.want)
		}
	}
}

func TestReturnPathOf(t *testing.T) {
	local := func(a netip.Addr) bool { return a == netip.MustParseAddr("192.0.2.1") }
	remote := func(s string) returnPath { return returnPath{remote: netip.MustParseAddr(s)} }
	tests := []struct {
		network, address string
		want             returnPath
		ok               bool
	}{
		{"tcp4", "198.51.100.2:443", remote("198.51.100.2"), true},
		{"udp", "198.51.100.2:51820", remote("198.51.100.2"), true},
		{"tcp", "[::ffff:198.51.100.2]:443", remote("198.51.100.2"), true},
		{"tcp6", "[2001:db8::1]:443", returnPath{}, false},
		{"tcp", "0.0.0.0:443", returnPath{port: 443, ipProto: unix.IPPROTO_TCP}, true},
		{"tcp", "[::]:443", returnPath{port: 443, ipProto: unix.IPPROTO_TCP}, true},
		{"udp4", "192.0.2.1:51820", returnPath{local: netip.MustParseAddr("192.0.2.1"), port: 51820, ipProto: unix.IPPROTO_UDP}, true},
		{"udp4", "0.0.0.0:0", returnPath{}, false},
		{"udp4", ":51820", returnPath{port: 51820, ipProto: unix.IPPROTO_UDP}, true},
		{"udp6", ":51820", returnPath{port: 51820, ipProto: unix.IPPROTO_UDP}, true},
		{"tcp4", ":443", returnPath{port: 443, ipProto: unix.IPPROTO_TCP}, true},
		{"udp4", ":0", returnPath{}, false},
		{"tcp4", ":http", returnPath{}, false},
		{"unix", "/run/x", returnPath{}, false},
	}
	for _, tt := range tests {
		got, ok := returnPathOf(tt.network, tt.address, local)
		if ok != tt.ok || ok && got != tt.want {
			t.Errorf("returnPathOf(%s, %s) = %+v, %v; want %+v, %v", tt.network, tt.address, got, ok, tt.want, tt.ok)
		}
	}
}

// TestListenersAsPackageNetTells: the guard knows the port of whatever way there is to ask package net for a listener
// on all addresses, by what that gives a Control function.
func TestListenersAsPackageNetTells(t *testing.T) {
	for _, network := range []string{"tcp4", "tcp6", "tcp", "udp4", "udp6", "udp"} {
		for _, host := range []string{"", "0.0.0.0", "[::]", "127.0.0.1"} {
			if host != "" && strings.HasSuffix(network, "4") != strings.Contains(host, ".") {
				continue // "tcp" is as "tcp4" where the address is of IPv4
			}
			g, err := New(Config{FIBProtocol: 186, Logger: slog.New(slog.DiscardHandler)})
			if err != nil {
				t.Fatal(err)
			}
			ipProto := uint8(unix.IPPROTO_TCP)
			if strings.HasPrefix(network, "udp") {
				ipProto = unix.IPPROTO_UDP
			}
			var told []string
			lc := net.ListenConfig{Control: func(network, address string, c syscall.RawConn) error {
				told = append(told, network+" "+address)
				g.noteEnd(network, address, c)
				g.expectAnswers(network, address)
				return nil
			}}
			port, closed := listenAnywhere(t, lc, network, host)
			local := netip.Addr{}
			if host == "127.0.0.1" {
				local = netip.MustParseAddr(host)
			}
			if !slices.Contains(g.returns, returnPath{local: local, port: port, ipProto: ipProto}) {
				t.Errorf("%s on %q: port %d is not let in: %+v; package net says %q", network, host, port, g.returns, told)
			}
			if is := g.outer.known[end{ipProto: ipProto, port: port}]; ipProto == unix.IPPROTO_TCP && !is {
				t.Errorf("%s on %q: packets from port %d are not known; package net says %q", network, host, port, told)
			}
			closed()
		}
	}
}

// listenAnywhere listens on a port that is free, which is named when it is asked for.
func listenAnywhere(t *testing.T, lc net.ListenConfig, network, host string) (port uint16, closed func()) {
	t.Helper()
	for range 100 { // something else may take it in between
		free, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		port = free.Addr().(*net.TCPAddr).AddrPort().Port()
		_ = free.Close()
		address := host + ":" + strconv.Itoa(int(port))
		var c io.Closer
		if strings.HasPrefix(network, "udp") {
			c, err = lc.ListenPacket(t.Context(), network, address)
		} else {
			c, err = lc.Listen(t.Context(), network, address)
		}
		if err == nil {
			return port, func() { _ = c.Close() }
		}
		if !errors.Is(err, unix.EADDRINUSE) {
			t.Fatal(err)
		}
	}
	t.Fatal("no port is free")
	return 0, nil
}

// TestPortsThatAreTold: a port of a socket that Control does not see is let in, and its packets are known, until it is said
// that there is none any more.
func TestPortsThatAreTold(t *testing.T) {
	g, _ := outerGuard(t, map[flow]bool{
		{17, netip.MustParseAddrPort("192.0.2.1:51999"), netip.MustParseAddrPort("198.51.100.9:1024")}: true,
		{6, netip.MustParseAddrPort("192.0.2.1:4443"), netip.MustParseAddrPort("198.51.100.9:1024")}:   true,
	})
	g.dirty.Store(0)
	before := len(g.returns)
	g.ListensUDP(0)
	g.ListensTCP(netip.MustParseAddrPort("192.0.2.1:0"))
	if len(g.returns) != before || g.dirty.Load() != 0 {
		t.Fatalf("there is no port 0: %+v", g.returns)
	}
	g.ListensUDP(51999)
	g.ListensTCP(netip.MustParseAddrPort("[::]:4443"))
	g.ListensTCP(netip.MustParseAddrPort("0.0.0.0:4443"))
	g.ListensTCP(netip.MustParseAddrPort("[2001:db8::1]:4444"))
	want := []returnPath{{port: 51999, ipProto: unix.IPPROTO_UDP}, {port: 4443, ipProto: unix.IPPROTO_TCP}}
	if !slices.Equal(g.returns[before:], want) || dirty(g.dirty.Load()) != dirtyRules {
		t.Errorf("%+v, and %b is dirty", g.returns, g.dirty.Load())
	}
	udp, tcp := ipPacket(17, "192.0.2.1:51999", "198.51.100.9:1024"), ipPacket(6, "192.0.2.1:4443", "198.51.100.9:1024")
	if !g.Own("tun0", udp) || !g.Own("tun0", tcp) {
		t.Error("a packet from one of the ports is not known")
	}
	g.dirty.Store(0)
	g.LeavesUDP(4443) // of TCP
	g.LeavesUDP(51999)
	if !slices.Equal(g.returns[before:], want[1:]) || dirty(g.dirty.Load()) != dirtyRules {
		t.Errorf("%+v, and %b is dirty", g.returns, g.dirty.Load())
	}
	if g.Own("tun0", udp) || !g.Own("tun0", tcp) {
		t.Error("a port is known that nothing listens on, or the other one is not")
	}
}

// TestReturnOfOneAddress: a listener on one address takes nothing from programs that have the port at another.
func TestReturnOfOneAddress(t *testing.T) {
	here, other := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("10.255.0.1")
	l := links{addrs: []netip.Addr{here, other}}
	for local, want := range map[netip.Addr]int{{}: 2, here: 1} {
		rules := plan{}.jumps(l.returning([]returnPath{{local: local, port: 443, ipProto: unix.IPPROTO_TCP}}))[1:]
		if len(rules) != want || rules[0].from.Addr() != here {
			t.Errorf("listening on %v: %+v", local, rules)
		}
	}
}

// The kernel refuses a rule for the last port, which must not keep it from getting the others.
func TestLastPortHasNoRule(t *testing.T) {
	l := links{addrs: []netip.Addr{netip.MustParseAddr("192.0.2.1")}}
	back := l.returning([]returnPath{{port: 65535, ipProto: unix.IPPROTO_UDP}, {port: 65534, ipProto: unix.IPPROTO_UDP}})
	if len(back.each) > 0 || len(back.ports) != 1 || back.ports[0].sport.last != 65534 {
		t.Errorf("%+v", back)
	}
}

func TestReturnPathsAreBounded(t *testing.T) {
	g, err := New(Config{FIBProtocol: 186, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	var listeners []returnPath // each link may have a port of its own
	for port := range uint16(2 * maxReturns) {
		listeners = append(listeners, returnPath{port: 1 + port, ipProto: unix.IPPROTO_UDP})
		g.remember(listeners[port])
	}
	addr := netip.MustParseAddr("10.0.0.0")
	first := addr
	for range 2 * maxReturns {
		g.remember(returnPath{remote: addr})
		addr = addr.Next()
	}
	if len(g.returns) > len(listeners)+maxReturns {
		t.Errorf("%d return paths", len(g.returns))
	}
	for _, listener := range listeners {
		if known, _, _ := g.remember(listener); !known {
			t.Errorf("%+v was forgotten", listener)
		}
	}
	if known, _, _ := g.remember(returnPath{remote: first}); known {
		t.Error("the oldest remote was kept")
	}
}
