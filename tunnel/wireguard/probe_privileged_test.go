//go:build privileged

package wireguard

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"warren/tunnel"
	"warren/tunnel/wireguard/protocol"
)

// probedDead is the dead_after of a link with a probe.
const probedDead = 3 * time.Second

// probed is a link with a probe towards a wireguard-go, which sends nothing by itself.
func probed(t *testing.T, f *foreign, peer netip.Addr) (l *Link, events chan tunnel.Event) {
	t.Helper()
	ns, dev := newNS(t, 1, 1)
	e := NewEndpoint(Config{PrivateKey: protocol.NewPrivateKey()})
	if err := f.ns.Do(func() error { return e.SetListenPort(0) }); err != nil {
		t.Fatal(err)
	}
	f.run("wg", "set", f.name, "peer", e.PublicKey().String(), "allowed-ips", "10.66.0.1/32,fd66::1/128,fe80::1/128")
	events = make(chan tunnel.Event, 64)
	l, err := e.AddLink(LinkConfig{
		Name: "foreign", PublicKey: f.key.Public(), Device: dev, Remotes: []string{fmt.Sprintf("127.0.0.1:%d", foreignPort)},
		Keepalive: 200 * time.Millisecond, DeadAfter: probedDead, Probe: true, PeerAddress: peer,
		Events: func(ev tunnel.Event) { events <- ev },
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := ns.Do(func() error {
		return errors.Join(ip("link", "set", "wgt0", "addrgenmode", "none"), ip("addr", "add", "fe80::1/64", "dev", "wgt0", "nodad"))
	}); err != nil {
		t.Fatal(err)
	}
	// The daemon is where its interfaces are. Here they are not.
	l.probe.open = func(ifname string, peer netip.Addr) (p pinger, err error) {
		err = ns.Do(func() error {
			p, err = openPinger(ifname, peer)
			return err
		})
		return p, err
	}
	n := &node{t: t, e: e}
	n.run(e.Run)
	n.run(l.Run)
	return l, events
}

func TestProbe(t *testing.T) {
	for _, peer := range []string{"10.66.0.2", "fd66::2", "fe80::2%wgt0"} {
		t.Run(peer, func(t *testing.T) {
			f := startForeign(t)
			f.run("ip", "addr", "add", "fe80::2/64", "dev", f.name, "nodad")
			l, events := probed(t, f, netip.MustParseAddr(peer))
			if ev := <-events; !ev.Up {
				t.Fatalf("%+v", ev)
			}
			select {
			case ev := <-events:
				t.Fatalf("%+v", ev)
			case <-time.After(2 * probedDead):
			}
			if s := l.Status(); s.RTT == 0 || s.Stats.RxPackets < 5 {
				t.Errorf("%+v", s)
			}
			f.ignoreEchoes(t)
			ev := <-events
			if ev.Up || !strings.Contains(ev.Reason, "nothing came from the peer") {
				t.Errorf("%+v", ev)
			}
		})
	}
}

// A peer that never answers: the status says so, and the tunnel is not up and down all
// the time.
func TestProbeOfAMutePeer(t *testing.T) {
	f := startForeign(t)
	f.ignoreEchoes(t)
	l, events := probed(t, f, netip.MustParseAddr("10.66.0.2"))
	if ev := <-events; !ev.Up {
		t.Fatalf("%+v", ev)
	}
	ev := <-events
	if ev.Up || !strings.Contains(ev.Reason, "pings to 10.66.0.2 inside the tunnel were not answered") {
		t.Errorf("%+v", ev)
	}
	select {
	case ev := <-events:
		t.Errorf("%+v", ev)
	case <-time.After(probedDead): // half the time in which it is not believed
	}
	if s := l.Status(); s.LastError != ev.Reason || s.State != tunnel.StateConnecting {
		t.Errorf("%+v", s)
	}
}

func (f *foreign) ignoreEchoes(t *testing.T) {
	t.Helper()
	for _, knob := range []string{"ipv4/icmp_echo_ignore_all", "ipv6/icmp/echo_ignore_all"} {
		if err := f.ns.Do(func() error { return os.WriteFile("/proc/sys/net/"+knob, []byte("1"), 0) }); err != nil {
			t.Fatal(err)
		}
	}
}
