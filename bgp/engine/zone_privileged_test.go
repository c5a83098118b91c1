//go:build privileged

package engine

import (
	"net/netip"
	"testing"

	"warren/bgp/sockets"
)

// TestInterfaceMadeAnew listens on a link-local address of an interface that has
// another index than a moment ago.
func TestInterfaceMadeAnew(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	n := Neighbor{LocalAddr: netip.MustParseAddr("fe80::1%again"), Interface: "again"}
	for range 2 {
		run(t, "ip link add again type veth peer name other")
		run(t, "ip link set again up")
		run(t, "ip link set other up")
		run(t, "ip addr add fe80::1/64 dev again nodad")
		l, err := sockets.Opener{}.Listen(t.Context(), &n)
		if err != nil {
			t.Error(err)
		} else {
			l.Close()
		}
		run(t, "ip link del again")
	}
}
