package underlay

import (
	"encoding/binary"
	"errors"
	"log/slog"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// ipPacket is the beginning of an IP packet of TCP or UDP.
func ipPacket(ipProto uint8, src, dst string) []byte {
	from, to := netip.MustParseAddrPort(src), netip.MustParseAddrPort(dst)
	var p []byte
	if from.Addr().Is4() {
		p = make([]byte, 20)
		p[0], p[9] = 0x45, ipProto
		copy(p[12:], from.Addr().AsSlice())
		copy(p[16:], to.Addr().AsSlice())
	} else {
		p = make([]byte, 40)
		p[0], p[6] = 0x60, ipProto
		copy(p[8:], from.Addr().AsSlice())
		copy(p[24:], to.Addr().AsSlice())
	}
	p = binary.BigEndian.AppendUint16(p, from.Port())
	p = binary.BigEndian.AppendUint16(p, to.Port())
	return append(p, make([]byte, 16)...)
}

// outerGuard is a guard that has told where its transports send to; asked counts how
// often it asks the kernel, which says that the flows in sockets are a transport's. What it was told holds for as long
// as the test lasts, since its clock stands still.
func outerGuard(t testing.TB, sockets map[flow]bool) (g *Guard, asked *int) {
	t.Helper()
	g, err := New(Config{FIBProtocol: 186, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	asked = new(int)
	g.outer.isOwn = func(f flow) (bool, error) { *asked++; return sockets[f], nil }
	began := time.Now()
	g.outer.now = func() time.Time { return began }
	g.outer.setLocals([]netip.Addr{netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1")})
	g.outer.add(end{unix.IPPROTO_TCP, netip.MustParseAddr("198.51.100.1"), 443})
	g.outer.add(end{ipProto: unix.IPPROTO_TCP, port: 443})
	g.ListensUDP(51820)
	return g, asked
}

func TestOwnPackets(t *testing.T) {
	flowAt := func(ipProto uint8, src, dst string) flow {
		return flow{ipProto, netip.MustParseAddrPort(src), netip.MustParseAddrPort(dst)}
	}
	g, asked := outerGuard(t, map[flow]bool{
		flowAt(6, "192.0.2.1:40000", "198.51.100.1:443"):        true,
		flowAt(6, "192.0.2.1:443", "198.51.100.3:50000"):        true,
		flowAt(17, "192.0.2.1:51820", "198.51.100.2:1024"):      true,
		flowAt(17, "192.0.2.1:51820", "198.51.100.2:9"):         true, // it has roamed
		flowAt(17, "[2001:db8::1]:51820", "[2001:db8::2]:1024"): true,
	})
	fragment := ipPacket(17, "192.0.2.1:51820", "198.51.100.2:1024")
	fragment[7] = 1
	first6 := ipPacket(unix.IPPROTO_FRAGMENT, "[2001:db8::1]:4352", "[2001:db8::2]:0")
	first6 = append(first6[:40], append([]byte{17, 0, 0, 1, 0, 0, 0, 9}, ipPacket(17, "[2001:db8::1]:51820", "[2001:db8::2]:1024")[40:]...)...)
	later6 := append([]byte(nil), first6...)
	later6[43] = 8
	for _, tt := range []struct {
		name   string
		packet []byte
		own    bool
		asks   int
	}{
		{"a lane that was dialed", ipPacket(6, "192.0.2.1:40000", "198.51.100.1:443"), true, 1},
		{"the same, and the kernel is not asked again", ipPacket(6, "192.0.2.1:40000", "198.51.100.1:443"), true, 0},
		{"a lane that was accepted", ipPacket(6, "192.0.2.1:443", "198.51.100.3:50000"), true, 1},
		{"WireGuard", ipPacket(17, "192.0.2.1:51820", "198.51.100.2:1024"), true, 1},
		{"WireGuard, the peer has another port", ipPacket(17, "192.0.2.1:51820", "198.51.100.2:9"), true, 1},
		{"IPv6", ipPacket(17, "[2001:db8::1]:51820", "[2001:db8::2]:1024"), true, 1},
		{"the first fragment", first6, true, 0},
		{"another fragment", later6, false, 0},
		{"another fragment of IPv4", fragment, false, 0},
		{"somebody else's connection to the same place", ipPacket(6, "10.0.0.7:40000", "198.51.100.1:443"), false, 1},
		{"the same once more", ipPacket(6, "10.0.0.7:40000", "198.51.100.1:443"), false, 0},
		{"a server behind this router", ipPacket(6, "10.0.0.7:443", "198.51.100.9:50000"), false, 0},
		{"another program here, from the same port", ipPacket(6, "192.0.2.1:443", "198.51.100.9:50000"), false, 1},
		{"another program here", ipPacket(6, "192.0.2.1:22", "198.51.100.9:50000"), false, 0},
		{"another port of the peer", ipPacket(6, "192.0.2.1:40000", "198.51.100.1:80"), false, 0},
		{"another protocol", ipPacket(17, "192.0.2.1:40000", "198.51.100.1:443"), false, 0},
		{"neither TCP nor UDP", ipPacket(1, "192.0.2.1:40000", "198.51.100.1:443"), false, 0},
		{"another place", ipPacket(6, "192.0.2.1:40000", "198.51.100.77:443"), false, 0},
		{"nothing", nil, false, 0},
		{"half a header", ipPacket(6, "192.0.2.1:40000", "198.51.100.1:443")[:23], false, 0},
		{"no port", ipPacket(17, "[2001:db8::1]:51820", "[2001:db8::2]:1024")[:43], false, 0},
		{"a header that is too long", append([]byte{0x4f}, ipPacket(6, "192.0.2.1:40000", "198.51.100.1:443")[1:]...), false, 0},
	} {
		before := *asked
		if got := g.Own("tun0", tt.packet); got != tt.own {
			t.Errorf("%s: %v", tt.name, got)
		}
		if n := *asked - before; n != tt.asks {
			t.Errorf("%s: asked %d times, want %d", tt.name, n, tt.asks)
		}
	}
	s := g.Swallowed()
	if len(s) != 1 || s[0].Interface != "tun0" || s[0].Packets != 7 || s[0].Remote.String() != "[2001:db8::2]:1024" || s[0].Last.IsZero() {
		t.Errorf("%+v", s)
	}
}

// Without diagnosis in the kernel, what comes from an address of this host counts.
func TestOwnPacketsWithoutDiagnosis(t *testing.T) {
	g, _ := outerGuard(t, nil)
	g.outer.isOwn = func(flow) (bool, error) { return false, errors.New("no such module") }
	if !g.Own("tun0", ipPacket(6, "192.0.2.1:40000", "198.51.100.1:443")) {
		t.Error("a packet of this host is not noticed")
	}
	if g.Own("tun0", ipPacket(6, "203.0.113.77:40000", "198.51.100.1:443")) {
		t.Error("a packet of another host is taken for one of this")
	}
}

func TestEndsAreBounded(t *testing.T) {
	g, _ := outerGuard(t, nil)
	addr := netip.MustParseAddr("10.0.0.0")
	for range 2 * maxRemotes {
		g.outer.add(end{unix.IPPROTO_TCP, addr, 443})
		addr = addr.Next()
	}
	if len(g.outer.remotes) != maxRemotes || len(g.outer.known) != maxRemotes+2 {
		t.Errorf("%d remotes, %d ends", len(g.outer.remotes), len(g.outer.known))
	}
	if !g.outer.known[end{unix.IPPROTO_TCP, addr.Prev(), 443}] || !g.outer.known[end{ipProto: unix.IPPROTO_UDP, port: 51820}] {
		t.Error("the latest remote or a port of ours is not known")
	}
	many := ipPacket(6, "192.0.2.1:40000", addr.Prev().String()+":443")
	for i := range 10 * maxVerdicts {
		binary.BigEndian.PutUint16(many[20:], uint16(i))
		g.Own("tun0", many)
	}
	if n := len(g.outer.verdicts); n > maxVerdicts {
		t.Errorf("%d verdicts", n)
	}
}

// What the check costs each packet that is read from a tunnel's interface.
func BenchmarkOwn(b *testing.B) {
	g, _ := outerGuard(b, nil)
	for _, bm := range []struct {
		name   string
		packet []byte
	}{
		{"ipv4", ipPacket(6, "10.1.0.1:40000", "10.2.0.1:443")},
		{"ipv6", ipPacket(6, "[2001:db8:1::1]:40000", "[2001:db8:2::1]:443")},
		{"another port of a peer", ipPacket(6, "10.1.0.1:40000", "198.51.100.1:80")},
		{"another program here", ipPacket(6, "192.0.2.1:40000", "10.2.0.1:80")},
	} {
		b.Run(bm.name, func(b *testing.B) {
			for b.Loop() {
				if g.Own("tun0", bm.packet) {
					b.Fatal("own")
				}
			}
		})
	}
}
