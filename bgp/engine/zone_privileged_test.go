//go:build privileged

package engine

import (
	"net"
	"net/netip"
	"testing"
)

// TestInterfaceMadeAnew listens on a link-local address of an interface that has
// another index than a moment ago.
func TestInterfaceMadeAnew(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	local := netip.MustParseAddr("fe80::1%again")
	listen := func() error {
		t.Helper()
		lc := net.ListenConfig{Control: socketControl(local, "again")}
		l, err := lc.Listen(t.Context(), "tcp", netip.AddrPortFrom(local, 179).String())
		if err == nil {
			l.Close()
		}
		return err
	}
	for range 2 {
		run(t, "ip link add again type veth peer name other")
		run(t, "ip link set again up")
		run(t, "ip link set other up")
		run(t, "ip addr add fe80::1/64 dev again nodad")
		renewZone(t.Context(), local)
		if err := listen(); err != nil {
			t.Error(err)
		}
		run(t, "ip link del again")
	}
}
