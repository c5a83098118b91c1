package underlay

import (
	"log/slog"
	"net/netip"
	"strings"
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
		{"udp4", "192.0.2.1:51820", returnPath{port: 51820, ipProto: unix.IPPROTO_UDP}, true},
		{"udp4", "0.0.0.0:0", returnPath{}, false},
		{"unix", "/run/x", returnPath{}, false},
	}
	for _, tt := range tests {
		got, ok := returnPathOf(tt.network, tt.address, local)
		if ok != tt.ok || ok && got != tt.want {
			t.Errorf("returnPathOf(%s, %s) = %+v, %v; want %+v, %v", tt.network, tt.address, got, ok, tt.want, tt.ok)
		}
	}
}

func TestReturnPathsAreBounded(t *testing.T) {
	g, err := New(Config{FIBProtocol: 186, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	listener := returnPath{port: 443, ipProto: unix.IPPROTO_TCP}
	g.remember(listener)
	addr := netip.MustParseAddr("10.0.0.0")
	first := addr
	for range 2 * maxReturns {
		g.remember(returnPath{remote: addr})
		addr = addr.Next()
	}
	if len(g.returns) > maxReturns {
		t.Errorf("%d return paths", len(g.returns))
	}
	if known, _, _ := g.remember(listener); !known {
		t.Error("the listener was forgotten")
	}
	if known, _, _ := g.remember(returnPath{remote: first}); known {
		t.Error("the oldest remote was kept")
	}
}
