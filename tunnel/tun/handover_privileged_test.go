//go:build privileged

package tun

import (
	"errors"
	"net"
	"os"
	"strings"
	"testing"
	"time"

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
		// As execve closes them: Close would end more than the descriptors.
		for _, q := range d.queues {
			q.file.Close()
		}
		if d.writeOnly {
			unix.Close(d.writer)
		}
		unix.Close(d.inet)
		d.closed = true

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

// What comes while nobody reads waits, more than a reader would let: it is there for the next program. Once that has read all, and once
// the program before goes on, the queues are short again.
func TestMoreWaitsWhileNobodyReads(t *testing.T) {
	if !netns.InOwn(t) {
		return
	}
	const sent = 600
	for _, adopted := range []bool{false, true} {
		c := Config{Name: "tt0", MTU: 1500, Queues: 2}
		d := open(t, c)
		if err := os.WriteFile("/proc/sys/net/ipv6/conf/tt0/disable_ipv6", []byte("1"), 0); err != nil {
			t.Fatal(err) // the kernel would send of its own accord
		}
		if err := d.SetCarrier(true); err != nil {
			t.Fatal(err)
		}
		ip(t, "addr", "add", "10.55.0.1/24", "dev", "tt0")
		ip(t, "link", "set", "tt0", "up")
		h := copied(t, d)
		conn, err := net.Dial("udp4", "10.55.0.2:5555")
		if err != nil {
			t.Fatal(err)
		}
		for range sent {
			if _, err := conn.Write([]byte("hello")); err != nil {
				t.Fatal(err)
			}
		}
		conn.Close()
		if adopted {
			for _, q := range d.queues {
				q.file.Close()
			}
			unix.Close(d.writer)
			unix.Close(d.inet)
			d.closed = true
			if d, err = Adopt(c, h); err != nil {
				t.Fatal(err)
			}
		} else if err := h.Close(); err != nil {
			t.Fatal(err)
		}
		got := 0
		for q := range d.Queues() {
			for buf := make([]byte, MaxFrame); ; got++ {
				if _, err := d.TryRead(q, buf); errors.Is(err, ErrEmpty) {
					break
				} else if err != nil {
					t.Fatal(err)
				}
			}
		}
		if got < sent {
			t.Errorf("adopted %v: %d of %d packets were there", adopted, got, sent)
		}
		for end := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
			out := ip(t, "-o", "link", "show", "tt0")
			if strings.Contains(out, " qlen 128") {
				break
			}
			if time.Now().After(end) {
				t.Fatalf("adopted %v: %s", adopted, out)
			}
		}
		d.Close()
		wantGone(t, "tt0")
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
