//go:build privileged

package wireguard

import (
	"net/netip"
	"testing"
	"time"

	"warren/tunnel"
	"warren/tunnel/wireguard/protocol"
)

// A host with several addresses answers from the one that the peer sent to, and from
// another once that has gone.
func TestAnswersFromWhereThePeerSentTo(t *testing.T) {
	for _, v := range []struct{ host, address, other string }{
		{"10.9.9.9", "10.9.9.9/32", "10.9.0.2"}, {"[fd09:9::9]", "fd09:9::9/128", "fd09::2"},
	} {
		t.Run(v.host, func(t *testing.T) {
			u := newUnderlays(t)
			nearKey, farKey := protocol.NewPrivateKey(), protocol.NewPrivateKey()
			far, near := u.endpoint(u.far, farKey), u.endpoint(u.near, nearKey)
			c := LinkConfig{Keepalive: 100 * time.Millisecond, DeadAfter: 4 * time.Second}
			c.Name, c.PublicKey = "near", nearKey.Public()
			a := far.startIn(u.far, c)
			c.Name, c.PublicKey, c.Remotes = "far", farKey.Public(), []string{far.addr(v.host)}
			b := near.startIn(u.near, c)
			b.next(true)
			a.next(true)
			var want [][]byte
			for i := range 40 {
				f := frame([]int{100, 1420, 1420, 1420, 9000}[i%5], byte(i)) // alone, and together
				want = append(want, f)
				a.dev.Frames <- f
			}
			b.arrives(want...)
			at := netip.MustParsePrefix(v.address).Addr()
			if s := b.l.Status(); s.Remote.Addr() != at {
				t.Errorf("answered from %v", s.Remote)
			}
			u.in(u.far, "addr del "+v.address+" dev lo")
			b.waitFor("without the address", func(s tunnel.Status) bool { return isUp(s) && s.Remote.Addr().String() == v.other })
			if len(a.events)+len(b.events) > 0 {
				t.Error("the tunnel went down")
			}
		})
	}
}
