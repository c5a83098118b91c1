//go:build privileged

package paths

import (
	"net/netip"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestMTUIsFollowed has how large packets may be told at first, and when the interface's MTU, that of IPv6 or that of the route
// changes, or the route leads elsewhere.
func TestMTUIsFollowed(t *testing.T) {
	m := newMachine(t)
	m.watch()
	sizes := make(map[string]chan int)
	for _, remote := range []string{remote4, remote6} {
		c := make(chan int, 16)
		sizes[remote] = c
		t.Cleanup(m.w.Socket(unix.IPPROTO_UDP, "").FollowMTU(netip.AddrPortFrom(netip.MustParseAddr(remote), 51820), func(mtu int) { c <- mtu }))
	}
	want := func(remote string, mtu int) {
		t.Helper()
		select {
		case got := <-sizes[remote]:
			if got != mtu {
				t.Errorf("%s: %d bytes, want %d", remote, got, mtu)
			}
		case <-time.After(patience):
			t.Errorf("%s: nothing was told, want %d bytes", remote, mtu)
		}
	}
	want(remote4, 1500)
	want(remote6, 1500)
	m.run("ip link set u1 mtu 1400")
	want(remote4, 1400)
	want(remote6, 1400)
	m.run("ip link set u1 mtu 1500")
	want(remote4, 1500)
	want(remote6, 1500)
	m.run("ip route replace default via 10.9.1.2 dev u1 metric 100 mtu 1300")
	want(remote4, 1300)
	m.run("ip -6 route replace default via fd09:1::2 dev u1 metric 100 mtu 1290")
	want(remote6, 1290)
	m.run("ip link set u2 mtu 1450")
	m.run("ip route del default dev u1")
	m.run("ip -6 route del default dev u1")
	want(remote4, 1450)
	want(remote6, 1450)
	m.run("sysctl -qw net.ipv6.conf.u2.mtu=1350")
	m.w.see(dirtySight) // the kernel tells IPv6's listeners alone: it is seen within a minute
	want(remote6, 1350)
}
