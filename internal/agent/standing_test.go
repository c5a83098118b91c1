package agent

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"warren/internal/config"
	"warren/tunnel/tlslink"
	"warren/tunnel/tun"
	"warren/tunnel/wireguard"
)

// fakePorts notes what a guard is told.
type fakePorts struct {
	mu   sync.Mutex
	told []string
}

func (f *fakePorts) note(format string, args ...any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.told = append(f.told, fmt.Sprintf(format, args...))
}

func (f *fakePorts) SetTunnels(names []string)   { f.note("tunnels %v", names) }
func (f *fakePorts) SetUnreachable(some bool)    { f.note("unreachable %v", some) }
func (f *fakePorts) ListensTCP(a netip.AddrPort) { f.note("tcp %v", a) }
func (f *fakePorts) ListensUDP(port uint16)      { f.note("udp %d", port) }
func (f *fakePorts) LeavesUDP(port uint16)       { f.note("not udp %d", port) }
func (f *fakePorts) Own(string, []byte) bool     { return false }
func (f *fakePorts) Control(string) controlFunc  { return nil }

type controlFunc = func(network, address string, c syscall.RawConn) error

// got is what was told, in alphabetical order.
func (f *fakePorts) got() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Sorted(slices.Values(f.told))
}

func (f *fakePorts) want(t *testing.T, what string, want ...string) {
	t.Helper()
	slices.Sort(want)
	if got := f.got(); !slices.Equal(got, want) {
		t.Errorf("%s: told %q, want %q", what, got, want)
	}
}

func (f *fakePorts) eventually(t *testing.T, what string, want ...string) {
	t.Helper()
	slices.Sort(want)
	for end := time.Now().Add(time.Minute); !slices.Equal(f.got(), want); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			f.want(t, what, want...)
			return
		}
	}
}

// passed is what the next daemon gets.
func passed(t *testing.T, n left) *left {
	t.Helper()
	state, err := json.Marshal(n)
	if err != nil {
		t.Fatal(err)
	}
	var next left
	if err := json.Unmarshal(state, &next); err != nil {
		t.Fatal(err)
	}
	return &next
}

// TestGuardExpectsWhatWasLeft: the guard is told before it begins which ports sockets were left of, as far as they are
// wanted still, which interfaces are tunnels, and that there are routes that lead nowhere.
func TestGuardExpectsWhatWasLeft(t *testing.T) {
	addr := netip.MustParseAddrPort
	n := passed(t, left{
		TLS: &tlslink.EndpointHandover{Listeners: map[netip.AddrPort]int{addr("0.0.0.0:443"): 7, addr("[::]:443"): 8, addr("0.0.0.0:8443"): 9}},
		WireGuard: &wireguard.EndpointHandover{Sockets: []wireguard.HandedSocket{
			{Network: "udp4", Port: 51820}, {Network: "udp6", Port: 51820}, {Network: "udp4", Underlay: "wan1", Port: 51820},
		}},
		Tunnels: []leftTunnel{{Name: "accepted", Device: tun.Handover{Name: "if-accepted"}}, {Name: "b", Device: tun.Handover{Name: "if-b"}}},
		Standing: map[string]leftStanding{
			"c": {Interface: "if-c", Index: 4, Port: 40000}, "gone": {Interface: "if-gone", Index: 5, Port: 40001},
			"d": {Interface: "if-d", Index: 6, Added: []netip.Prefix{netip.MustParsePrefix("10.9.0.1/30")}},
		},
		Unreachable: true,
	})
	cfg := router(peerConfig("b", 0), kernelPeer("c"), peerConfig("d", 1))
	cfg.TLS.Listen = []netip.AddrPort{addr("0.0.0.0:443"), addr("0.0.0.0:4443")}
	for port, want := range map[uint16][]string{0: {"udp 51820", "udp 51820", "udp 51820"}, 51820: {"udp 51820", "udp 51820", "udp 51820"}, 51821: nil} {
		cfg.WireGuard.ListenPort = port
		g := &fakePorts{}
		n.expect(cfg, g)
		g.want(t, fmt.Sprint("listen_port ", port),
			append([]string{"tunnels [if-b if-c if-d if-accepted]", "unreachable true", "tcp 0.0.0.0:443", "udp 40000"}, want...)...)
	}
	g := &fakePorts{}
	passed(t, left{}).expect(router(), g)
	g.want(t, "a daemon that says nothing of it", "tunnels []", "unreachable false")
}

// TestUnreachableIsKnownOverARestart: until routes are written the kernel has those of the daemon before.
func TestUnreachableIsKnownOverARestart(t *testing.T) {
	before := newWorld(t, router(peerConfig("b", 0)))
	w := resumes(t, before, &left{Unreachable: true, Up: []string{"b"}})
	if !w.unreachable {
		t.Error("the guard was told that nothing is unreachable while the kernel has such routes")
	}
	if w.resumed(true); w.resuming != nil || w.unreachable {
		t.Errorf("the resumption is over: %v; unreachable: %v", w.resuming == nil, w.unreachable)
	}
}

// TestStandingTunnelsAreLeft: of a tunnel over an interface that goes on without the process the next daemon is told, be
// it up or not.
func TestStandingTunnelsAreLeft(t *testing.T) {
	w := newWorld(t, router(peerConfig("b", 0), peerConfig("c", 1)))
	ports := &fakePorts{}
	k := &kernelTunnel{cfg: config.Tunnel{Interface: "if-b"}, index: 7, port: &toldPort{guard: ports}}
	e := &externalTunnel{cfg: config.Tunnel{Interface: "if-c"}, index: 8, added: []netip.Prefix{netip.MustParsePrefix("fe80::1/64")}}
	k.port.is(40000)
	for id, a := range w.m.tunnels {
		w.handles.tunnels[id] = map[string]handle{"b": {tunnelHandle: k}, "c": {tunnelHandle: e}}[a.name]
	}
	n := passed(t, left{Standing: w.standing()})
	if got, want := fmt.Sprint(n.Standing), "map[b:{if-b 7 [] 40000} c:{if-c 8 [fe80::1/64] 0}]"; got != want {
		t.Errorf("left %s, want %s", got, want)
	}
	if err := e.addAddresses(9, nil); err != nil || e.index != 8 {
		t.Errorf("%v, and something is added to interface %d that the next daemon does not know of", err, e.index)
	}
	w.carry()
	if err := e.addAddresses(9, nil); err == nil || e.index != 9 {
		t.Errorf("%v, interface %d: the tunnel does not go on", err, e.index)
	}
	o := newLeftovers(n)
	if was := o.takeStanding("b"); was.Port != 40000 || o.takeStanding("b").Port != 0 || (*leftovers)(nil).takeStanding("b").Port != 0 {
		t.Errorf("taken %+v", was)
	}
	ports.want(t, "one port", "udp 40000")
	k.port.is(40000)
	k.port.is(40001)
	k.port.is(0)
	k.port.is(0)
	ports.want(t, "all ports", "udp 40000", "not udp 40000", "udp 40001", "not udp 40001")
	// An interface that is gone has taken its addresses with it.
	o = newLeftovers(&left{Standing: map[string]leftStanding{"c": {Interface: "nosuch0", Index: 1 << 30, Added: e.added}}})
	if names, err := o.drop(); err != nil || len(names) > 0 || len(o.standing) > 0 {
		t.Errorf("%v, %v, %v", names, err, strings.Join(sortedKeys(o.standing), " "))
	}
}
