//go:build privileged

package tun

import (
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"warren/internal/netns"
)

func TestCarrier(t *testing.T) {
	netns.Test(t)
	d := open(t, Config{Name: "tt0", MTU: 1500, Queues: 2})
	ip(t, "link", "set", "tt0", "up")
	for _, up := range []bool{false, true, false} {
		if err := d.SetCarrier(up); err != nil {
			t.Fatal(err)
		}
		is := func() bool { return strings.Contains(ip(t, "link", "show", "tt0"), "NO-CARRIER") != up }
		// That it has none SetCarrier does not wait for, and the kernel may take a second until it says so (net/core/link_watch.c).
		for end := time.Now().Add(time.Minute); !up && !is() && time.Now().Before(end); {
			time.Sleep(10 * time.Millisecond)
		}
		if !is() {
			t.Fatalf("carrier %v, want %v", !up, up)
		}
	}
}

// TestCarrierSends: what is sent right after SetCarrier leaves the interface. The kernel
// drops what is sent in the time that it takes to see the carrier, in half of the tries on
// a machine with nothing else to do.
func TestCarrierSends(t *testing.T) {
	netns.Test(t)
	for i := range 20 {
		d := open(t, Config{Name: "tt0", MTU: 1500, Queues: 1})
		if err := os.WriteFile("/proc/sys/net/ipv6/conf/tt0/disable_ipv6", []byte("1"), 0); err != nil {
			t.Fatal(err) // the kernel would send of its own accord
		}
		ip(t, "addr", "add", "10.55.0.1/24", "dev", "tt0")
		ip(t, "link", "set", "tt0", "up")
		conn, err := net.Dial("udp4", "10.55.0.2:5555")
		if err != nil {
			t.Fatal(err)
		}
		if err := d.SetCarrier(true); err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Write([]byte("hello")); err != nil {
			t.Fatal(err)
		}
		if !d.Readable(0) { // what is sent is there at once, or dropped
			t.Errorf("packet lost after the carrier was set, in try %d", i)
		}
		conn.Close()
		d.Close()
	}
}

// TestCarrierFromElsewhere sets the carrier from another network namespace, in which no
// interface has the name.
func TestCarrierFromElsewhere(t *testing.T) {
	netns.RequireRoot(t)
	ns, err := netns.NewAnonymous()
	if err != nil {
		t.Fatal(err)
	}
	defer ns.Close()
	var d *Device
	if err := ns.Do(func() error {
		d = open(t, Config{Name: "tt0", MTU: 1500, Queues: 2})
		ip(t, "link", "set", "tt0", "up")
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if err := d.SetCarrier(true); err != nil {
		t.Fatal(err)
	}
	if err := ns.Do(func() error {
		if got := ip(t, "link", "show", "tt0"); !strings.Contains(got, "LOWER_UP") {
			t.Errorf("no carrier: %s", got)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
}
