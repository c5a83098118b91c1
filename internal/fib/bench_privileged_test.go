//go:build privileged

package fib

import (
	"fmt"
	"net"
	"net/netip"
	"testing"
	"time"

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
			other, err := New(config())
			if err != nil {
				b.Fatal(err)
			}
			if err := other.Cleanup(b.Context()); err != nil {
				b.Fatal(err)
			}
			_ = other.Close()
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
		f.auditor.Close()
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

// BenchmarkChange changes one prefix of a table of so many, and waits until the kernel has it.
func BenchmarkChange(b *testing.B) {
	for _, count := range []int{10, 100_000, 1_000_000} {
		netns.Test(b)
		k := &kernel{opt: "-4", dst: netip.MustParsePrefix("10.9.0.0/16")}
		for _, name := range []string{"tunA", "tunB"} {
			k.ip(b, "tuntap add mode tun name "+name)
			k.ip(b, "link set up dev "+name)
		}
		f, err := New(config())
		if err != nil {
			b.Fatal(err)
		}
		for i := range count {
			f.Apply(Change{Prefix: nth(k, i), Ways: []Way{{Interface: "tunA"}}})
		}
		begin := time.Now()
		flush(b, f)
		fill := time.Since(begin)
		b.Run(fmt.Sprint(count), func(b *testing.B) {

			before := processorTime(b)
			for i := 0; b.Loop(); i++ {
				f.Apply(Change{Prefix: nth(k, 5), Ways: []Way{{Interface: []string{"tunB", "tunA"}[i%2]}}})
				flush(b, f)
			}
			b.ReportMetric(float64((processorTime(b)-before).Microseconds())/float64(b.N), "cpu-µs/op")
			b.ReportMetric(float64(count)/fill.Seconds(), "fill-routes/s")
		})
		begin = time.Now()
		if _, err := f.look(b.Context(), f.auditor); err != nil {
			b.Fatal(err)
		}
		b.Logf("%d: an audit takes %s", count, time.Since(begin))
		begin = time.Now()
		if err := f.Cleanup(b.Context()); err != nil {
			b.Fatal(err)
		}
		b.Logf("%d: Cleanup takes %s", count, time.Since(begin))
		_ = f.Close()
	}
}

// BenchmarkSwitch takes one of two ways from 500,000 prefixes, and gives it back: two that are
// used, or one that is used and one in reserve.
func BenchmarkSwitch(b *testing.B) {
	for _, opt := range []string{"-4", "-6"} {
		for name, ways := range map[string][]Way{
			"used":    {{Interface: "hopA"}, {Interface: "hopB"}},
			"reserve": {{Interface: "hopA"}, {Interface: "hopB", Reserve: true}},
		} {
			benchmarkSwitch(b, opt, name, ways)
		}
	}
}

func benchmarkSwitch(b *testing.B, opt, name string, ways []Way) {
	netns.Test(b)
	k := &kernel{opt: opt, dst: netip.MustParsePrefix("10.9.0.0/16")}
	for _, name := range []string{"hopA", "hopB"} {
		k.ip(b, "link add name "+name+" type veth peer name "+name+"x")
		k.ip(b, "link set "+name+" up")
		k.ip(b, "link set "+name+"x up")
		k.carrier(b, name, true)
	}
	f, err := New(config())
	if err != nil {
		b.Fatal(err)
	}
	for i := range 500_000 {
		f.Apply(Change{Prefix: nth(k, i), Ways: ways})
	}
	flush(b, f)
	var down, up time.Duration
	b.Run(opt+"/"+name, func(b *testing.B) {
		for b.Loop() {
			begin := time.Now()
			f.SetHop("hopA", Hop{Down: true})
			flush(b, f)
			down += time.Since(begin)
			begin = time.Now()
			f.SetHop("hopA", Hop{})
			flush(b, f)
			up += time.Since(begin)
		}
		b.ReportMetric(float64(down.Microseconds())/float64(b.N)/1000, "down-ms")
		b.ReportMetric(float64(up.Microseconds())/float64(b.N)/1000, "up-ms")
		down, up = 0, 0
	})
	if ways[1].Reserve {
		b.Logf("%s: the kernel takes the used way, and the reserve has all after %s", opt, takenAway(b, k, f))
	}
	_ = f.Close()
}

// takenAway takes the carrier of the used way, with which the kernel removes all routes, and
// returns how long it takes until they lead to the reserve.
func takenAway(b *testing.B, k *kernel, f *FIB) time.Duration {
	before := f.Sent()
	k.ip(b, "link set hopAx down")
	begin := time.Now()
	until(b, "the reserve", func() bool {
		flush(b, f)
		f.mu.Lock()
		defer f.mu.Unlock()
		return f.Sent() > before+500_000 && f.pic.counts[0][stateInstalled]+f.pic.counts[1][stateInstalled] == 500_000
	})
	return time.Since(begin)
}

func processorTime(b *testing.B) time.Duration {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
