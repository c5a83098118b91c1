//go:build privileged

package fib

import (
	"net"
	"net/netip"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"warren/internal/netns"
)

// BenchmarkWrite puts 100,000 routes in an empty table, of this package and, for
// comparison, of the netlink library's RouteReplace on an open Handle.
func BenchmarkWrite(b *testing.B) {
	const count = 100_000
	netns.Test(b)
	k4 := &kernel{opt: "-4", dst: netip.MustParsePrefix("10.9.0.0/16")}
	k6 := &kernel{opt: "-6", dst: netip.MustParsePrefix("2001:db8:9::/48")}
	k4.ip(b, "tuntap add mode tun name tunA")
	k4.ip(b, "link set up dev tunA")
	for _, k := range []*kernel{k4, k6} {
		var want []Route
		for i := range count {
			want = append(want, Route{nth(k, i), "tunA"})
		}
		f, err := New(config())
		if err != nil {
			b.Fatal(err)
		}
		clear := func() {
			k.sync(b, f)
		}
		b.Run(k.opt+"/Sync", func(b *testing.B) {
			for b.Loop() {
				b.StopTimer()
				clear()
				b.StartTimer()
				k.sync(b, f, want...)
			}
			b.ReportMetric(float64(count*b.N)/b.Elapsed().Seconds(), "routes/s")
		})
		b.Run(k.opt+"/Sync-nothing-new", func(b *testing.B) {
			for b.Loop() {
				k.sync(b, f, want...)
			}
		})
		b.Run(k.opt+"/Sync-one-less-one-more", func(b *testing.B) {
			k.sync(b, f, want[1:]...)
			for i := 0; b.Loop(); i++ {
				k.sync(b, f, want[i%2:count-1+i%2]...)
			}
		})
		b.Run(k.opt+"/remove", func(b *testing.B) {
			for b.Loop() {
				b.StopTimer()
				k.sync(b, f, want...)
				b.StartTimer()
				k.sync(b, f)
			}
			b.ReportMetric(float64(count*b.N)/b.Elapsed().Seconds(), "routes/s")
		})
		clear()
		// No subscriber but ours may slow the library down. The sockets are made
		// here because b.Run leaves the namespace.
		f.events.Close()
		wipe := func() {
			f.pic.stale = true
			if err := f.reloadLocked(); err != nil {
				b.Fatal(err)
			}
			if _, err := f.execute(b.Context(), f.planLocked(nil), true); err != nil {
				b.Fatal(err)
			}
		}
		h, err := netlink.NewHandle(unix.NETLINK_ROUTE)
		if err != nil {
			b.Fatal(err)
		}
		b.Run(k.opt+"/netlink.Handle.RouteReplace", func(b *testing.B) {
			replaceAll(b, h, wipe, want)
			b.ReportMetric(float64(count*b.N)/b.Elapsed().Seconds(), "routes/s")
		})
		wipe()
		h.Close()
		f.conn.Close()
	}
}

func replaceAll(b *testing.B, h *netlink.Handle, clear func(), want []Route) {
	link, err := h.LinkByName("tunA")
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		b.StopTimer()
		clear()
		b.StartTimer()
		for _, w := range want {
			r := &netlink.Route{
				LinkIndex: link.Attrs().Index, Scope: netlink.SCOPE_LINK, Protocol: 186, Priority: 20, Table: 254,
				Dst: &net.IPNet{IP: w.Prefix.Addr().AsSlice(), Mask: net.CIDRMask(w.Prefix.Bits(), w.Prefix.Addr().BitLen())},
			}
			if err := h.RouteReplace(r); err != nil {
				b.Fatal(err)
			}
		}
	}
}
