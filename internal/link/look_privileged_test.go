//go:build privileged

package link

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"warren/internal/netns"
	"warren/internal/rtnl"
)

func TestLook(t *testing.T) {
	netns.Test(t)
	see := func(name string) Sight {
		t.Helper()
		s, err := Look(name)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	if s := see("tun0"); s.Index != 0 {
		t.Errorf("%+v", s)
	}
	// The kernel says some moments later what becomes of a carrier, and counts what it sends by itself.
	until := func(name string, is func(Sight) bool) (s Sight) {
		t.Helper()
		for end := time.Now().Add(time.Minute); !is(s); time.Sleep(10 * time.Millisecond) {
			if s = see(name); time.Now().After(end) {
				t.Fatalf("%s: %+v", name, s)
			}
		}
		return s
	}
	ip(t, "link add veth0 type veth peer name veth1")
	ip(t, "tuntap add mode tun name tun0")
	ip(t, "link set tun0 mtu 1380 addrgenmode none")
	if s := see("tun0"); s.Index == 0 || s.MTU != 1380 || s.Up || s.Running || len(s.Addresses) > 0 {
		t.Errorf("%+v", s)
	}
	ip(t, "addr add 192.0.2.7/24 dev veth0")
	ip(t, "addr add 10.8.0.1 peer 10.8.0.2 dev tun0")
	ip(t, "addr add 10.9.0.1/24 dev tun0")
	ip(t, "addr add fd08::1/64 dev tun0")
	ip(t, "addr add fe80::1/64 dev tun0")
	ip(t, "link set tun0 up")
	s := until("tun0", func(s Sight) bool { return s.Up && !s.Running })
	var want []netip.Prefix
	for _, p := range []string{"10.8.0.1/32", "10.9.0.1/24", "fd08::1/64", "fe80::1/64"} {
		want = append(want, netip.MustParsePrefix(p))
	}
	slices.SortFunc(s.Addresses, netip.Prefix.Compare)
	if s.Broadcast || !slices.Equal(s.Addresses, want) {
		t.Errorf("%+v", s)
	}
	if s := see("veth0"); !s.Broadcast || s.Up {
		t.Errorf("%+v", s)
	}
	ip(t, "link property add dev veth0 altname tun7")
	if s := see("tun7"); s.Index != 0 {
		t.Errorf("by a second name: %+v", s)
	}
	ip(t, "link set veth0 up")
	ip(t, "link set veth1 up")
	until("veth0", func(s Sight) bool { return s.Running })
	_ = exec.Command("ping", "-c1", "-W1", "192.0.2.8").Run() // at least a question for its address
	until("veth0", func(s Sight) bool { return s.Running && s.TxPackets > 0 && s.TxBytes > 0 })
	until("veth1", func(s Sight) bool { return s.RxPackets > 0 && s.RxBytes > 0 })
}

// crowd makes n interfaces with an address each.
func crowd(t testing.TB, n int) {
	t.Helper()
	var batch strings.Builder
	for i := range n {
		fmt.Fprintf(&batch, "tuntap add mode tun name d%d\naddr add 10.%d.%d.1/32 dev d%d\n", i, 100+i/250, i%250, i)
	}
	cmd := exec.Command("ip", "-batch", "-")
	cmd.Stdin = strings.NewReader(batch.String())
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

// quickest is the shortest of many calls, which a busy machine delays least.
func quickest(f func()) time.Duration {
	best := time.Hour
	for range 50 {
		start := time.Now()
		f()
		best = min(best, time.Since(start))
	}
	return best
}

// A look at one interface costs the same among many others.
func TestLookIsCheapAmongMany(t *testing.T) {
	netns.Test(t)
	look := func() {
		if s, err := Look("d0"); err != nil || s.Index == 0 || len(s.Addresses) != 1 {
			t.Fatalf("%+v, %v", s, err)
		}
	}
	crowd(t, 1)
	alone := quickest(look)
	ip(t, "link del d0")
	crowd(t, 1000)
	among := quickest(look)
	all := quickest(func() {
		if _, err := net.Interfaces(); err != nil {
			t.Fatal(err)
		}
	})
	t.Logf("alone %v, among a thousand %v, a list of all %v", alone, among, all)
	// One that goes through them all takes about as long as the list: a processor that had become slower is no reason.
	if among > 5*alone && among > all/5 {
		t.Errorf("alone %v, among a thousand %v", alone, among)
	}
}

// TestInterfaceThatGoesMeanwhile: an interface that was found goes before the kernel is asked for its addresses, or
// told what to do with it.
func TestInterfaceThatGoesMeanwhile(t *testing.T) {
	netns.Test(t)
	ip(t, "tuntap add mode tun name tun0")
	v4, v6 := netip.MustParsePrefix("10.9.0.1/24"), netip.MustParsePrefix("2001:db8::1/64")
	l, err := find("tun0")
	if err != nil {
		t.Fatal(err)
	}
	ip(t, "link del tun0")
	if s, err := look(l); !errors.Is(err, ErrNotFound) || s.Index != 0 {
		t.Errorf("look: %+v, %v; want ErrNotFound", s, err)
	}
	if _, err := addressesOf(l); !errors.Is(err, ErrNotFound) {
		t.Errorf("list addresses: %v; want ErrNotFound", err)
	}
	if _, err := setAddresses(l, nil, nil); !errors.Is(err, ErrNotFound) {
		t.Errorf("set addresses: %v; want ErrNotFound", err)
	}
	if err := removeAddresses(l, []netip.Prefix{v4, v6}); !errors.Is(err, ErrNotFound) {
		t.Errorf("remove addresses: %v; want ErrNotFound, which RemoveAddresses takes for none", err)
	}
	for _, p := range []netip.Prefix{v4, v6} {
		if err := addNew(l, p, false); !errors.Is(err, ErrNotFound) {
			t.Errorf("add %s: %v; want ErrNotFound", p, err)
		}
		if err := deleteAddr(l, rtnl.Address{Prefix: p}); err != nil {
			t.Errorf("delete %s: %v", p, err)
		}
	}
}
