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
		f := open(b, config())
		clear := func() {
			if err := f.Cleanup(b.Context()); err != nil {
				b.Fatal(err)
			}
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
		h, err := netlink.NewHandle(unix.NETLINK_ROUTE) // here: b.Run leaves the namespace
		if err != nil {
			b.Fatal(err)
		}
		b.Run(k.opt+"/netlink.Handle.RouteReplace", func(b *testing.B) {
			replaceAll(b, h, clear, want)
			b.ReportMetric(float64(count*b.N)/b.Elapsed().Seconds(), "routes/s")
		})
		clear()
		h.Close()
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
