//go:build privileged

package tun

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"warren/internal/netns"
)

// copied is a handover with descriptors of its own, as another program has them.
func copied(t *testing.T, d *Device) Handover {
	t.Helper()
	h, err := d.Handover()
	if err != nil {
		t.Fatal(err)
	}
	writes := h.Writer == h.Queues[0]
	again := func(fd int) int {
		n, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	for i, fd := range h.Queues {
		h.Queues[i] = again(fd)
	}
	if h.Writer = h.Queues[0]; !writes {
		full, err := d.Handover()
		if err != nil {
			t.Fatal(err)
		}
		h.Writer = again(full.Writer)
	}
	return h
}

// An interface that is handed over stays, with its carrier, its index and its routes, when the Device before is
// gone with its descriptors, and goes with the next one.
func TestAdopt(t *testing.T) {
	netns.Test(t)
	for _, queues := range []int{1, 3} {
		c := Config{Name: "tt0", MTU: 1500, Queues: queues}
		d := open(t, c)
		ip(t, "link", "set", "tt0", "up")
		if err := d.SetCarrier(true); err != nil {
			t.Fatal(err)
		}
		ip(t, "route", "add", "10.1.0.0/24", "dev", "tt0")
		h := copied(t, d)
		let(d)
		next, err := Adopt(c, h)
		if err != nil {
			t.Fatalf("%d queues: %v", queues, err)
		}
		if out := ip(t, "route", "show", "dev", "tt0"); !strings.Contains(out, "10.1.0.0/24") || strings.Contains(out, "linkdown") {
			t.Errorf("%d queues: routes %q", queues, out)
		}
		if next.Index() != d.Index() || next.Queues() != queues || next.Offload() != d.Offload() {
			t.Errorf("%d queues: %+v, was %+v", queues, next, d)
		}
		if changed, err := next.Mend(); err != nil || len(changed) > 0 {
			t.Errorf("%d queues: mended %v, %v", queues, changed, err)
		}
		if err := next.Close(); err != nil {
			t.Fatal(err)
		}
		wantGone(t, "tt0")
	}
}

// What comes while the program is being replaced waits, all of it, and the queues are as long before as after that: while the kernel
// changes their length it drops packets.
func TestNothingIsLostWhileNobodyReads(t *testing.T) {
	if !netns.InOwn(t) {
		return
	}
	for _, queues := range []int{1, 2} {
		c := Config{Name: "tt0", MTU: 1500, Queues: queues}
		d := openToSend(t, c)
		for range 20 {
			sent, stop := sendSlowly(t)
			h := copied(t, d)
			wantLength(t, queueLen)
			let(d)
			next, err := Adopt(c, h)
			close(stop)
			if err != nil {
				t.Fatal(err)
			}
			d = next
			if want, got := <-sent, readAll(t, d); got != want {
				t.Errorf("%d queues: %d of %d packets were there", queues, got, want)
			}
			wantLength(t, queueLen)
		}
		d.Close()
		wantGone(t, "tt0")
	}
}

// An interface whose reader lags behind has short queues, until the program is replaced.
func TestLaggingReader(t *testing.T) {
	if !netns.InOwn(t) {
		return
	}
	d := openToSend(t, Config{Name: "tt0", MTU: MaxMTU, Queues: 2})
	defer d.Close()
	const size = 60_000
	if err := send(laggingRun/size+1, size); err != nil {
		t.Fatal(err)
	}
	readAll(t, d)
	for end := time.Now().Add(time.Minute); !strings.Contains(ip(t, "-o", "link", "show", "tt0"), " qlen 128"); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal(ip(t, "-o", "link", "show", "tt0"))
		}
	}
	for range 2 {
		if _, err := d.Handover(); err != nil {
			t.Fatal(err)
		}
		wantLength(t, queueLen)
	}
}

// An interface of a program that left the kernel's queueing discipline to it is taken over without one, as new ones are.
func TestAdoptOfOlderProgram(t *testing.T) {
	if !netns.InOwn(t) {
		return
	}
	c := Config{Name: "tt0", MTU: 1500, Queues: 2}
	d := openToSend(t, c)
	h := copied(t, d)
	let(d)
	ip(t, "link", "set", "tt0", "qlen", "128") // and lengthened, or not
	if err := netlink.QdiscReplace(&netlink.GenericQdisc{QdiscAttrs: netlink.QdiscAttrs{LinkIndex: h.Index, Parent: netlink.HANDLE_ROOT}, QdiscType: "mq"}); err != nil {
		t.Fatal(err)
	}
	h.Unqueued = false
	next, err := Adopt(c, h)
	if err != nil {
		t.Fatal(err)
	}
	wantLength(t, queueLen)
	next.Close()
	wantGone(t, "tt0")
}

// openToSend returns a device that is up, into which nobody but the test sends.
func openToSend(t *testing.T, c Config) *Device {
	t.Helper()
	d := open(t, c)
	if err := os.WriteFile("/proc/sys/net/ipv6/conf/tt0/disable_ipv6", []byte("1"), 0); err != nil {
		t.Fatal(err) // the kernel would send of its own accord
	}
	if err := d.SetCarrier(true); err != nil {
		t.Fatal(err)
	}
	ip(t, "addr", "add", "10.55.0.1/24", "dev", "tt0")
	ip(t, "link", "set", "tt0", "up")
	return d
}

// send sends packets of a flow into it.
func send(n, size int) error {
	conn, err := net.Dial("udp4", "10.55.0.2:5555")
	if err != nil {
		return err
	}
	defer conn.Close()
	for packet := make([]byte, size); n > 0 && err == nil; n-- {
		_, err = conn.Write(packet)
	}
	return err
}

// sendSlowly sends packets of a flow until stop is closed, as many as fit into a queue at most, and then tells how many.
func sendSlowly(t *testing.T) (sent <-chan int, stop chan<- struct{}) {
	t.Helper()
	conn, err := net.Dial("udp4", "10.55.0.2:5555")
	if err != nil {
		t.Fatal(err)
	}
	told, until := make(chan int, 1), make(chan struct{})
	go func() {
		defer conn.Close()
		for n := 0; ; n++ {
			select {
			case <-until:
				told <- n
				return
			case <-time.After(20 * time.Microsecond):
			}
			if n == queueLen-1 {
				<-until
				told <- n
				return
			}
			if _, err := conn.Write([]byte("hello")); err != nil {
				t.Error(err)
			}
		}
	}()
	return told, until
}

// readAll reads what waits, and returns how many frames that were.
func readAll(t *testing.T, d *Device) (n int) {
	t.Helper()
	for q := range d.Queues() {
		for buf := make([]byte, MaxFrame); ; n++ {
			if _, err := d.TryRead(q, buf); errors.Is(err, ErrEmpty) {
				break
			} else if err != nil {
				t.Fatal(err)
			}
		}
	}
	return n
}

// let closes the descriptors of a device, as execve does: Close would end more.
func let(d *Device) {
	for _, q := range d.queues {
		q.file.Close()
	}
	if d.writeOnly {
		unix.Close(d.writer)
	}
	unix.Close(d.inet)
	d.closed = true
}

func wantLength(t *testing.T, packets int) {
	t.Helper()
	if out := ip(t, "-o", "link", "show", "tt0"); !strings.Contains(out, " qdisc noqueue ") || !strings.Contains(out, fmt.Sprintf(" qlen %d", packets)) {
		t.Errorf("want queues for %d packets, and nothing before them: %s", packets, out)
	}
}

// What is not as it is said to be, or not as it is to be, is refused, and closed.
func TestAdoptRefuses(t *testing.T) {
	netns.Test(t)
	c := Config{Name: "tt0", MTU: 1500, Queues: 1}
	for what, change := range map[string]func(*Config, *Handover){
		"another MTU":     func(c *Config, _ *Handover) { c.MTU = 1400 },
		"another name":    func(c *Config, h *Handover) { c.Name, h.Name = "tt9", "tt9" },
		"another index":   func(_ *Config, h *Handover) { h.Index++ },
		"other frames":    func(_ *Config, h *Handover) { h.VNet = !h.VNet },
		"more queues":     func(c *Config, _ *Handover) { c.Queues = 2 },
		"no queue at all": func(_ *Config, h *Handover) { h.Queues = nil },
	} {
		d := open(t, c)
		h, wanted := copied(t, d), c
		change(&wanted, &h)
		if _, err := Adopt(wanted, h); err == nil {
			t.Errorf("%s: taken over", what)
		}
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
		if what != "no queue at all" {
			wantGone(t, "tt0")
		}
	}
}
