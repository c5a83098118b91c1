//go:build privileged

package wireguard

import (
	"net/netip"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"warren/tunnel"
	"warren/tunnel/wireguard/protocol"
)

// Spare sockets leave by the underlay of their link, and share their port with nobody.
func TestSparePortLeavesByTheUnderlay(t *testing.T) {
	u := newUnderlays(t)
	farKey := protocol.NewPrivateKey()
	far := u.endpoint(u.far, farKey)
	near := u.endpoint(u.near, protocol.NewPrivateKey())
	for underlay, want := range map[string]string{"u1": "10.9.1.1", "": "10.9.0.1"} {
		own := protocol.NewPrivateKey()
		c := LinkConfig{Keepalive: 100 * time.Millisecond, DeadAfter: patience}
		there, here := c, c
		there.Name, there.PublicKey = "near", own.Public()
		here.Name, here.PrivateKey, here.PublicKey, here.Underlay = "far", own, farKey.Public(), underlay
		here.Remotes = []string{far.addr("10.9.9.9")}
		a, b := far.startIn(u.far, there), near.startIn(u.near, here)
		a.waitFor("the far end", isUp)
		b.waitFor("the near end", isUp)
		var s spare
		if err := u.near.Do(func() (err error) { s, err = b.l.out.open(); return err }); err != nil {
			t.Fatal(err)
		}
		defer s.close()
		v4 := s.(*spareBinding).current.Load().v4
		fd, err := v4.Descriptor()
		if err != nil {
			t.Fatal(err)
		}
		if shared, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEPORT); err != nil || shared != 0 {
			t.Errorf("SO_REUSEPORT is %d, %v", shared, err)
		}
		if !s.has(v4) || s.has(nil) || s.has(near.e.free.current.Load().v4) {
			t.Error("it does not know its sockets")
		}
		u.near.Do(func() error {
			if s.stale() {
				t.Error("it takes the underlay for another one")
			}
			return nil
		})
		b.l.out.used.Store(&s) // the peer learns of the port from the next keepalive
		at := netip.AddrPortFrom(netip.MustParseAddr(want), s.port())
		a.waitFor("from the spare port", func(s tunnel.Status) bool { return s.Remote == at })
		f := frame(500, 1)
		a.dev.Frames <- f
		b.arrives(f)
	}
	if n := len(near.e.spares); n != 2 {
		t.Errorf("%d spare ports", n)
	}
}
