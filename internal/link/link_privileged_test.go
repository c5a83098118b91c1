//go:build privileged

package link

import (
	"errors"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"warren/internal/netns"
)

// ip runs ip(8) in the calling thread's namespace.
func ip(t testing.TB, args string) string {
	t.Helper()
	out, err := exec.Command("ip", strings.Fields(args)...).CombinedOutput()
	if err != nil {
		t.Fatalf("ip %s: %v\n%s", args, err, out)
	}
	return string(out)
}

// addresses returns what ip shows as addresses of tun0, with their flags.
func addresses(t testing.TB) []string {
	t.Helper()
	var all []string
	for l := range strings.Lines(ip(t, "-o addr show dev tun0")) {
		// 2: tun0    inet 10.0.0.1/24 brd 10.0.0.255 scope global tun0\ …
		f := strings.Fields(l)
		all = append(all, strings.Join(f[3:slices.Index(f, "scope")], " "))
	}
	slices.Sort(all)
	return all
}

func TestSetMTU(t *testing.T) {
	netns.Test(t)
	ip(t, "tuntap add mode tun name tun0")
	have, err := Look("tun0")
	if err != nil {
		t.Fatal(err)
	}
	if err := SetMTU(have.Index, 1300); err != nil {
		t.Fatal(err)
	}
	if now, err := Look("tun0"); err != nil || now.MTU != 1300 || now.Up {
		t.Errorf("%+v, %v", now, err)
	}
	if err := SetMTU(have.Index+1000, 1300); !errors.Is(err, ErrNotFound) {
		t.Errorf("of no interface: %v", err)
	}
}

func TestSetAddresses(t *testing.T) {
	netns.Test(t)
	ip(t, "tuntap add mode tun name tun0")
	if err := Prepare("tun0"); err != nil {
		t.Fatal(err)
	}
	if err := SetUp("tun0", 1400); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"10.0.0.1/31 fd00::1/127 fe80::1/64",
		"10.0.0.1/31 fd00::1/127 fe80::1/64", // twice the same
		"10.0.0.1/24 10.0.0.2/24 10.0.0.3/24",
		"10.0.0.2/24 10.0.0.3/24", // the primary goes, and takes the secondaries with it
		"10.0.0.2/16 fd00::1/64",
		"10.0.0.2/16 fd00::1/127", // the same address, another length
		"192.0.2.1/32 2001:db8::1/128",
		"",
	} {
		ps := prefixes(want)
		for range 2 {
			if err := SetAddresses("tun0", ps); err != nil {
				t.Fatalf("set %q: %v", want, err)
			}
			fields := strings.Fields(want)
			slices.Sort(fields)
			if got := addresses(t); !slices.Equal(got, fields) {
				t.Errorf("the interface has %q; want %q", got, fields)
			}
		}
	}
	if err := SetAddresses("tun0", []netip.Prefix{{}}); err == nil {
		t.Error("the zero prefix is accepted")
	}
	if err := SetAddresses("nosuch", nil); !errors.Is(err, ErrNotFound) {
		t.Errorf("SetAddresses of no interface: %v", err)
	}
}

// What others gave an interface stays, whatever is added to it and taken away.
func TestAddAndRemoveAddresses(t *testing.T) {
	netns.Test(t)
	ip(t, "tuntap add mode tun name tun0")
	ip(t, "link set tun0 addrgenmode none")
	ip(t, "link set tun0 up")
	ip(t, "addr add 10.8.0.1/24 dev tun0")
	ip(t, "addr add 10.8.0.1 peer 10.9.0.2 dev tun0")
	ip(t, "addr add fd00::5/64 dev tun0 nodad")
	theirs := addresses(t)

	want := prefixes("10.8.0.1/24 10.8.0.9/24 fe80::1/64 fd00::5/64")
	added, err := AddAddresses("tun0", want)
	if err != nil || !slices.Equal(added, prefixes("10.8.0.9/24 fe80::1/64")) {
		t.Errorf("added %v, %v", added, err)
	}
	if all, err := Addresses("tun0"); err != nil || !containsAll(all, want) {
		t.Errorf("addresses %v: %v", all, err)
	}
	if again, err := AddAddresses("tun0", want); err != nil || len(again) > 0 {
		t.Errorf("added again: %v, %v", again, err)
	}
	if got := addresses(t); len(got) != len(theirs)+2 {
		t.Errorf("the interface has %q", got)
	}
	for range 2 {
		if err := RemoveAddresses("tun0", added); err != nil {
			t.Fatal(err)
		}
		if got := addresses(t); !slices.Equal(got, theirs) {
			t.Errorf("the interface has %q, had %q", got, theirs)
		}
	}
	if added, err := AddAddresses("tun0", prefixes("10.8.0.7/24 ff02::1/64")); err == nil || len(added) != 1 {
		t.Errorf("with an address that cannot be: %v, %v", added, err)
	}
	if _, err := AddAddresses("nosuch", added); !errors.Is(err, ErrNotFound) {
		t.Errorf("to no interface: %v", err)
	}
	if err := RemoveAddresses("nosuch", added); err != nil {
		t.Errorf("from no interface: %v", err)
	}
}

// TestKernelsLinkLocalStays until we give a link-local address of our own: on a
// TUN, where it comes from a secret, and on Ethernet.
func TestKernelsLinkLocalStays(t *testing.T) {
	for _, kind := range []string{"tun", "veth"} {
		t.Run(kind, func(t *testing.T) {
			netns.Test(t)
			if kind == "tun" {
				tun := openTUN(t, "tun0") // it has a carrier while it is open
				t.Cleanup(func() { _ = tun.Close() })
			} else {
				ip(t, "link add tun0 type veth peer name peer0")
				ip(t, "link set peer0 up")
			}
			ip(t, "link set tun0 up") // not prepared, so the kernel makes one
			kernels := waitAddress(t)
			if err := SetAddresses("tun0", prefixes("10.0.0.1/31")); err != nil {
				t.Fatal(err)
			}
			if got := addresses(t); !slices.Equal(got, []string{"10.0.0.1/31", kernels}) {
				t.Errorf("the interface has %q; want the kernel's own address kept", got)
			}
			if err := SetAddresses("tun0", prefixes("fe80::1/64")); err != nil {
				t.Fatal(err)
			}
			if got := addresses(t); !slices.Equal(got, []string{"fe80::1/64"}) {
				t.Errorf("the interface has %q; want ours alone", got)
			}
		})
	}
}

// TestUsableAtOnce: no duplicate address detection, which a TUN has not anyway, but
// an external tunnel interface may.
func TestUsableAtOnce(t *testing.T) {
	netns.Test(t)
	ip(t, "link add tun0 type veth peer name peer0")
	ip(t, "link set peer0 up")
	ip(t, "link set tun0 up")
	if err := SetAddresses("tun0", prefixes("fd00::1/127")); err != nil {
		t.Fatal(err)
	}
	if out := ip(t, "-6 addr show dev tun0 scope global tentative"); out != "" {
		t.Errorf("addresses that cannot be used yet:\n%s", out)
	}
	if got := ip(t, "-6 addr show dev tun0 scope global"); !strings.Contains(got, "fd00::1/127") {
		t.Errorf("the interface has\n%s", got)
	}
}

// waitAddress returns the only address of tun0 as soon as there is one.
func waitAddress(t *testing.T) string {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		if got := addresses(t); len(got) == 1 && strings.HasPrefix(got[0], "fe80::") {
			return got[0]
		}
	}
	t.Fatal("the kernel gives no link-local address")
	return ""
}

func TestPrepare(t *testing.T) {
	netns.Test(t)
	tun := openTUN(t, "tun.0") // with a carrier, so that the kernel would make an address
	t.Cleanup(func() { _ = tun.Close() })
	for range 2 {
		if err := Prepare("tun.0"); err != nil {
			t.Fatal(err)
		}
	}
	for _, s := range sysctls {
		b, err := os.ReadFile("/proc/sys/net/" + strings.Replace(s.path, "*", "tun.0", 1))
		if err != nil || strings.TrimSpace(string(b)) != s.value {
			t.Errorf("%s is %q, %v; want %s", s.path, b, err, s.value)
		}
	}
	if err := SetUp("tun.0", 0); err != nil {
		t.Fatal(err)
	}
	if out := ip(t, "-6 addr show dev tun.0"); out != "" {
		t.Errorf("the kernel gave an address:\n%s", out)
	}
}

func TestIPv6Off(t *testing.T) {
	netns.Test(t)
	ip(t, "tuntap add mode tun name tun0")
	if err := os.WriteFile("/proc/sys/net/ipv6/conf/tun0/disable_ipv6", []byte("1"), 0); err != nil {
		t.Fatal(err)
	}
	if err := SetAddresses("tun0", prefixes("fd00::1/127")); !errors.Is(err, ErrNoIPv6) || !strings.Contains(err.Error(), "net.ipv6.conf.tun0.disable_ipv6") {
		t.Errorf("SetAddresses: %v; want it to name the sysctl", err)
	}
}

// A quiet address is there to speak from, and the kernel sends nothing else from it.
func TestQuietAddress(t *testing.T) {
	netns.Test(t)
	ip(t, "tuntap add mode tun name tun0")
	if err := errors.Join(SetUp("tun0", 0), SetAddresses("tun0", prefixes("192.0.0.8/32"))); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := SetAddresses("tun0", prefixes("fd00::1/127"), prefixes("169.254.7.2/31")...); err != nil {
			t.Fatal(err)
		}
		got := ip(t, "-o addr show dev tun0")
		if !strings.Contains(got, "169.254.7.2/31 scope host") || !strings.Contains(got, "fd00::1/127 scope global") || strings.Contains(got, "192.0.0.8") {
			t.Fatalf("addresses: %s", got)
		}
	}
	ip(t, "route add 10.2.0.0/16 dev tun0")
	if got := ip(t, "route get 10.2.0.1"); strings.Contains(got, "src 169.254.7.2") {
		t.Errorf("the kernel sends from it: %s", got)
	}
	if got := ip(t, "route get 169.254.7.3 from 169.254.7.2"); !strings.Contains(got, "dev tun0") {
		t.Errorf("the way to the peer: %s", got)
	}
}

// On a host where IPv6 is off, by all of its sysctls, an interface that is prepared has it,
// with no address but those that it is given.
func TestPrepareTurnsIPv6On(t *testing.T) {
	netns.Test(t)
	for _, which := range []string{"all", "default", "lo"} {
		if err := os.WriteFile("/proc/sys/net/ipv6/conf/"+which+"/disable_ipv6", []byte("1"), 0); err != nil {
			t.Fatal(err)
		}
	}
	ip(t, "tuntap add mode tun name tun0")
	ip(t, "tuntap add mode tun name tun1")
	if err := errors.Join(Prepare("tun0"), SetUp("tun0", 0), SetAddresses("tun0", prefixes("fd00::1/127"))); err != nil {
		t.Fatal(err)
	}
	if got := ip(t, "-6 -o addr show dev tun0"); strings.Count(got, "inet6") != 1 || !strings.Contains(got, "fd00::1/127") {
		t.Errorf("addresses: %s", got)
	}
	if b, err := os.ReadFile("/proc/sys/net/ipv6/conf/tun1/disable_ipv6"); err != nil || strings.TrimSpace(string(b)) != "1" {
		t.Errorf("on another interface: %q, %v", b, err)
	}

	// What somebody turns off again comes back with the next look.
	if err := os.WriteFile("/proc/sys/net/ipv6/conf/tun0/disable_ipv6", []byte("1"), 0); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(Prepare("tun0"), SetAddresses("tun0", prefixes("fd00::1/127"))); err != nil {
		t.Fatal(err)
	}
	if got := ip(t, "-6 -o addr show dev tun0"); !strings.Contains(got, "fd00::1/127") {
		t.Errorf("turned off and on: %s", got)
	}
}

func TestLifecycle(t *testing.T) {
	netns.Test(t)
	if ok, err := Exists("tun0"); ok || err != nil {
		t.Errorf("Exists = %v, %v; want false", ok, err)
	}
	if _, err := Name(1 << 30); !errors.Is(err, ErrNotFound) {
		t.Errorf("Name: %v; want ErrNotFound", err)
	}
	if err := SetUp("tun0", 0); !errors.Is(err, ErrNotFound) {
		t.Errorf("SetUp: %v; want ErrNotFound", err)
	}
	if err := Delete("tun0"); err != nil {
		t.Errorf("Delete of nothing: %v", err)
	}
	ip(t, "tuntap add mode tun name tun0")
	if err := SetUp("tun0", 9000); err != nil {
		t.Error(err)
	}
	if got := ip(t, "link show dev tun0"); !strings.Contains(got, "mtu 9000") || !strings.Contains(got, ",UP") {
		t.Errorf("after SetUp:\n%s", got)
	}
	if err := SetUp("tun0", 70000); err == nil {
		t.Error("an MTU of 70000 is accepted")
	}
	if err := SetDown("tun0"); err != nil {
		t.Error(err)
	}
	if got := ip(t, "link show dev tun0"); strings.Contains(got, ",UP") {
		t.Errorf("after SetDown:\n%s", got)
	}
	index, _, _ := strings.Cut(ip(t, "link show dev tun0"), ":")
	i, _ := strconv.Atoi(index)
	if name, err := Name(i); err != nil || name != "tun0" {
		t.Errorf("Name(%d) = %q, %v", i, name, err)
	}
	if err := Delete("tun0"); err != nil {
		t.Error(err)
	}
	if ok, err := Exists("tun0"); ok || err != nil {
		t.Errorf("Exists after Delete = %v, %v", ok, err)
	}
}

func TestRemoveStale(t *testing.T) {
	netns.Test(t)
	for _, name := range []string{"ours1", "ours2", "theirs"} {
		ip(t, "tuntap add mode tun name "+name)
	}
	ip(t, "link add veth0 type veth peer name veth1")
	live := openTUN(t, "live") // held by a process, as of a running daemon
	if err := unix.IoctlSetInt(int(live.Fd()), unix.TUNSETOWNER, os.Geteuid()); err != nil {
		t.Fatal(err)
	}
	held := openTUN(t, "held") // by a stranger who attached before there were owners
	defer held.Close()
	for _, name := range []string{"ours1", "ours2", "veth0", "live", "held"} {
		if err := SetAlias(name, "warren:"+name); err != nil {
			t.Fatal(err)
		}
	}
	got, err := RemoveStale(func(name, alias string) bool { return alias == "warren:"+name })
	slices.Sort(got)
	if err != nil || !slices.Equal(got, []string{"held", "ours1", "ours2"}) {
		t.Errorf("removed %v, %v; want held, ours1 and ours2", got, err)
	}
	for name, want := range map[string]bool{"ours1": false, "ours2": false, "theirs": true, "veth0": true, "live": true, "held": false} {
		if ok, err := Exists(name); ok != want || err != nil {
			t.Errorf("Exists(%s) = %v, %v", name, ok, err)
		}
	}
	if err := live.Close(); err != nil {
		t.Error(err)
	}
}

func containsAll(all, want []netip.Prefix) bool {
	return !slices.ContainsFunc(want, func(p netip.Prefix) bool { return !slices.Contains(all, p) })
}
