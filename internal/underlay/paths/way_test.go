package paths

import (
	"net/netip"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

var (
	here  = netip.MustParseAddrPort("192.0.2.1:40000")
	there = netip.MustParseAddrPort("198.51.100.1:443")
	gw1   = netip.MustParseAddr("192.0.2.254")
	gw2   = netip.MustParseAddr("203.0.113.254")
)

// sights is what a machine with two uplinks and an address on its loopback sees.
func sights(change func(*sight)) *sight {
	s := &sight{
		interfaces: map[uint32]iface{1: {name: "lo"}, 2: {name: "u1"}, 3: {name: "u2"}},
		homes: map[netip.Addr][]uint32{
			here.Addr():                        {2},
			netip.MustParseAddr("203.0.113.1"): {3},
			netip.MustParseAddr("10.0.0.1"):    {1},
		},
	}
	if change != nil {
		change(s)
	}
	return s
}

// by is a way as look makes it of what the kernel answers.
func by(f flow, s *sight, index uint32, gateway netip.Addr, errno syscall.Errno) way {
	w := way{known: true, errno: errno}
	w.homed, w.homeRuns = s.home(f.local.Addr())
	if errno == 0 {
		w.index, w.gateway, w.name, w.idle = index, gateway, s.interfaces[index].name, s.idle(index)
	}
	return w
}

func TestJudge(t *testing.T) {
	set := func(index uint32, idle string) func(*sight) {
		return func(s *sight) { s.interfaces[index] = iface{name: s.interfaces[index].name, idle: idle} }
	}
	connected := flow{ipProto: unix.IPPROTO_TCP, local: here, remote: there}
	loopback := flow{ipProto: unix.IPPROTO_TCP, local: netip.MustParseAddrPort("10.0.0.1:40000"), remote: there}
	chosen := flow{ipProto: unix.IPPROTO_UDP, remote: there}
	for name, c := range map[string]struct {
		f       flow
		then    func(*sight)
		index   uint32
		gateway netip.Addr
		errno   syscall.Errno
		want    verdict
		why     string
	}{
		"nothing":                    {f: connected, index: 2, gateway: gw1, want: same},
		"another interface down":     {f: connected, then: set(3, down), index: 2, gateway: gw1, want: same},
		"down, nothing left":         {f: connected, then: set(2, down), errno: unix.ENETUNREACH, want: lost, why: "interface u1 is down"},
		"down, another is left":      {f: connected, then: set(2, down), index: 3, gateway: gw2, want: lost, why: "interface u1 is down"},
		"no carrier":                 {f: connected, then: set(2, noCarrier), index: 2, gateway: gw1, want: lost, why: "interface u1 has no carrier"},
		"interface gone":             {f: connected, then: func(s *sight) { delete(s.interfaces, 2); delete(s.homes, here.Addr()) }, index: 3, gateway: gw2, want: lost, why: "interface u1 is gone"},
		"address gone":               {f: connected, then: func(s *sight) { delete(s.homes, here.Addr()) }, index: 2, gateway: gw1, want: lost, why: "the address 192.0.2.1 is gone"},
		"address moved":              {f: connected, then: func(s *sight) { s.homes[here.Addr()] = []uint32{3} }, index: 2, gateway: gw1, want: same},
		"no route":                   {f: connected, errno: unix.ENETUNREACH, want: lost, why: "no route to 198.51.100.1: network is unreachable"},
		"another interface":          {f: connected, index: 3, gateway: gw2, want: moved, why: "by interface u2 now, instead of u1"},
		"another gateway":            {f: connected, index: 2, gateway: gw2, want: moved, why: "another gateway"},
		"from loopback, down":        {f: loopback, then: set(2, down), index: 3, gateway: gw2, want: moved, why: "by interface u2 now"},
		"from loopback, no carrier":  {f: loopback, then: set(2, noCarrier), index: 2, gateway: gw1, want: lost, why: "has no carrier"},
		"chosen, down":               {f: chosen, then: set(2, down), index: 3, gateway: gw2, want: moved, why: "by interface u2 now"},
		"chosen, down, nothing left": {f: chosen, then: set(2, down), errno: unix.ENETUNREACH, want: lost, why: "interface u1 is down"},
	} {
		t.Run(name, func(t *testing.T) {
			before := by(c.f, sights(nil), 2, gw1, 0)
			s := sights(c.then)
			now := by(c.f, s, c.index, c.gateway, c.errno)
			v, why := judge(c.f, before, now, s)
			if v != c.want || !strings.Contains(why, c.why) {
				t.Errorf("%v %q, want %v %q", v, why, c.want, c.why)
			}
			if v, why := judge(c.f, now, now, s); v != same {
				t.Errorf("told once more: %v %q", v, why)
			}
		})
	}
}

// What is so at the first look is no change, but a connection without a way is told to find out.
func TestFirstLook(t *testing.T) {
	f := flow{local: here, remote: there}
	s := sights(nil)
	if v, why := judge(f, way{}, by(f, s, 3, gw2, 0), s); v != same {
		t.Errorf("%v %q", v, why)
	}
	if v, _ := judge(f, way{}, by(f, s, 0, gw2, unix.ENETUNREACH), s); v != moved {
		t.Errorf("%v, want moved", v)
	}
	dead := sights(func(s *sight) { s.interfaces[2] = iface{name: "u1", idle: down} })
	if v, why := judge(f, way{}, by(f, dead, 3, gw2, 0), dead); v != moved || why != "the interface with the address 192.0.2.1 receives nothing" {
		t.Errorf("%v %q, want moved", v, why)
	}
	free := flow{remote: there}
	if v, why := judge(free, way{}, by(free, s, 0, gw2, unix.ENETUNREACH), s); v != same {
		t.Errorf("%v %q", v, why)
	}
	s = sights(func(s *sight) { delete(s.homes, here.Addr()) }) // an address of a routed prefix
	w := by(f, s, 2, gw1, 0)
	if v, why := judge(f, way{}, w, s); v != same {
		t.Errorf("%v %q", v, why)
	}
	none := by(f, s, 0, netip.Addr{}, unix.ENETUNREACH)
	if v, why := judge(f, none, w, s); v != moved || !strings.Contains(why, "again") {
		t.Errorf("%v %q, want that it is there again", v, why)
	}
}

// What routes alone say, while the interface runs, is believed when they go on saying it.
func TestRoutesSettle(t *testing.T) {
	for name, c := range map[string]struct {
		errnos []syscall.Errno // of looks, half as far apart as routes may take
		want   string
	}{
		"replaced": {[]syscall.Errno{0, syscall.ENETUNREACH, 0, 0, 0}, ""},
		"removed":  {[]syscall.Errno{0, syscall.ENETUNREACH, syscall.ENETUNREACH, syscall.ENETUNREACH}, "lost"},
		"late":     {[]syscall.Errno{0, syscall.ENETUNREACH, syscall.ENETUNREACH, syscall.ENETUNREACH, 0}, "lost moved"},
	} {
		t.Run(name, func(t *testing.T) {
			w, told := New(0, nil), []string{}
			f := &follow{flow: flow{remote: there}, changed: func(lost bool, _ string) {
				told = append(told, map[bool]string{true: "lost", false: "moved"}[lost])
			}}
			now, s := time.Now(), sights(nil)
			for _, errno := range c.errnos {
				w.take(f, by(f.flow, s, 2, gw1, errno), s, now)
				now = now.Add(routesSettle / 2)
			}
			if got := strings.Join(told, " "); got != c.want {
				t.Errorf("told %q, want %q", got, c.want)
			}
		})
	}
}

// The way of a dial that begins while its interface has no carrier is another as soon as there is
// one. A way that was good is hoped for before it is given up, if another is possible.
func TestHope(t *testing.T) {
	idle := sights(func(s *sight) { s.interfaces[2] = iface{name: "u1", idle: noCarrier} })
	for name, c := range map[string]struct {
		f     flow
		looks []uint32 // interfaces, at looks half as far apart as is hoped; all but the first are seen without the carrier of u1
		want  string
	}{
		"a dial into the void":    {flow{remote: there}, []uint32{2, 2, 2, 2, 3}, "lost moved"},
		"a dial that begins late": {flow{remote: there}, []uint32{0, 2, 3}, "moved"},
		"in time":                 {flow{remote: there}, []uint32{2, 2, 3}, "moved"},
		"bound":                   {flow{remote: there, device: "u1"}, []uint32{2, 2}, "lost"},
		"from a dead address":     {flow{local: here, remote: there}, []uint32{2, 2}, "lost"},
		"from one elsewhere":      {flow{local: netip.MustParseAddrPort("10.0.0.1:1"), remote: there}, []uint32{2, 2, 3}, "moved"},
	} {
		t.Run(name, func(t *testing.T) {
			w := New(0, nil)
			var told []string
			f := &follow{flow: c.f, changed: func(lost bool, _ string) {
				if lost {
					told = append(told, "lost")
				} else {
					told = append(told, "moved")
				}
			}}
			now := time.Now()
			for i, index := range c.looks {
				s := idle
				if i == 0 {
					s = sights(nil)
				}
				if index != 0 { // else it begins later
					w.take(f, by(c.f, s, index, gw1, 0), s, now)
				}
				now = now.Add(hopeFor / 2)
			}
			if got := strings.Join(told, " "); got != c.want {
				t.Errorf("told %q, want %q", got, c.want)
			}
		})
	}
}
