//go:build privileged

package tun

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"warren/internal/netns"
)

func TestReadable(t *testing.T) {
	netns.Test(t)
	d := open(t, Config{Name: "tt0", MTU: 1500, Queues: 1})
	if err := os.WriteFile("/proc/sys/net/ipv6/conf/tt0/disable_ipv6", []byte("1"), 0); err != nil {
		t.Fatal(err) // the kernel would send of its own accord
	}
	if err := d.SetCarrier(true); err != nil {
		t.Fatal(err)
	}
	ip(t, "addr", "add", "10.55.0.1/24", "dev", "tt0")
	ip(t, "link", "set", "tt0", "up")
	if d.Readable(0) {
		t.Fatal("readable before anything was sent")
	}
	conn, err := net.Dial("udp4", "10.55.0.2:5555")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.Write([]byte("hello")); err != nil {
		t.Fatal(err)
	}
	if err := d.Wait(0); err != nil || !d.Readable(0) {
		t.Fatalf("not readable after a wait: %v", err)
	}
	if _, err := d.TryRead(0, make([]byte, MaxFrame)); err != nil || d.Readable(0) {
		t.Fatalf("still readable after it was read: %v", err)
	}
}

// Waiting ends when the device is closed, or somebody deletes the interface.
func TestWaitEnds(t *testing.T) {
	netns.Test(t)
	for name, end := range map[string]func(d *Device){
		"closed":  func(d *Device) { d.Close() },
		"deleted": func(*Device) { ip(t, "link", "del", "tt0") },
	} {
		d := open(t, Config{Name: "tt0", MTU: 1500, Queues: 2})
		ended := make(chan error, 2)
		for q := range 2 {
			go func() {
				for {
					err := d.Wait(q)
					if err == nil {
						_, err = d.TryRead(q, make([]byte, MaxFrame))
					}
					if err != nil && !errors.Is(err, ErrEmpty) {
						ended <- err
						return
					}
				}
			}()
		}
		end(d)
		for range 2 {
			select {
			case err := <-ended:
				if name == "closed" && !errors.Is(err, os.ErrClosed) {
					t.Errorf("%s: %v", name, err)
				}
				if name == "deleted" && !strings.Contains(err.Error(), "the interface is gone") {
					t.Errorf("%s: %v", name, err)
				}
			case <-time.After(30 * time.Second):
				t.Fatalf("%s: a reader still waits", name)
			}
		}
		d.Close()
	}
}

// What the kernel sends into one interface is written to another, as a tunnel
// does, with and without offload: a TCP stream must arrive as it was sent.
func TestStreamBetweenTwoDevices(t *testing.T) {
	for _, tc := range []struct {
		queues int
		plain  bool
	}{{1, false}, {4, false}, {1, true}, {4, true}} {
		t.Run(fmt.Sprintf("queues=%d,plain=%v", tc.queues, tc.plain), func(t *testing.T) {
			here := netns.Test(t)
			there, err := netns.NewAnonymous()
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { there.Close() })
			var a, b *Device
			var l net.Listener
			bring := func(d **Device, addr string) error {
				*d = open(t, Config{Name: "tt0", MTU: 1500, Queues: tc.queues, plain: tc.plain})
				ip(t, "addr", "add", addr, "dev", "tt0")
				ip(t, "link", "set", "tt0", "up")
				return (*d).SetCarrier(true)
			}
			if err := there.Do(func() error {
				if err := bring(&b, "10.55.0.2/24"); err != nil {
					return err
				}
				l, err = net.Listen("tcp4", "10.55.0.2:5555")
				return err
			}); err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			if err := bring(&a, "10.55.0.1/24"); err != nil {
				t.Fatal(err)
			}
			largest := make(chan int, 2*tc.queues)
			for q := range tc.queues {
				go func() { largest <- shovel(t, a, b, q) }()
				go func() { largest <- shovel(t, b, a, q) }()
			}
			var conn net.Conn
			if err := here.Do(func() (err error) {
				conn, err = net.DialTimeout("tcp4", "10.55.0.2:5555", 30*time.Second)
				return err
			}); err != nil {
				t.Fatal(err)
			}
			echo(t, conn, l)
			a.Close()
			b.Close()
			most := 0
			for range 2 * tc.queues {
				most = max(most, <-largest)
			}
			if big := most > 3000; big == tc.plain {
				t.Fatalf("the largest frame had %d bytes", most)
			}
		})
	}
}

// shovel moves frames of one queue until a device is closed, and returns the size
// of the largest.
func shovel(t *testing.T, from, to *Device, queue int) (largest int) {
	buf := make([]byte, MaxFrame)
	for {
		if from.Wait(queue) != nil {
			return largest
		}
		for {
			n, err := from.TryRead(queue, buf)
			if errors.Is(err, ErrEmpty) {
				break
			}
			if err != nil {
				return largest
			}
			largest = max(largest, n)
			if err := Check(buf[:n], from.MTU()); err != nil {
				t.Errorf("a frame of this kernel was refused: %v: %x", err, buf[:min(n, 100)])
				continue
			}
			if err := to.Write(buf[:n]); errors.Is(err, ErrDropped) {
				t.Error(err)
			}
		}
	}
}

// echo sends a few megabytes to the listener and back.
func echo(t *testing.T, conn net.Conn, l net.Listener) {
	t.Helper()
	conn.SetDeadline(time.Now().Add(time.Minute))
	go func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		buf := make([]byte, 1<<16)
		for {
			n, err := c.Read(buf)
			if err != nil {
				return
			}
			if _, err := c.Write(buf[:n]); err != nil {
				return
			}
		}
	}()
	sent := bytes.Repeat([]byte("0123456789abcdef"), 4<<16)
	go conn.Write(sent)
	got := make([]byte, 0, len(sent))
	buf := make([]byte, 1<<16)
	for len(got) < len(sent) {
		n, err := conn.Read(buf)
		if err != nil {
			t.Fatalf("after %d bytes: %v", len(got), err)
		}
		got = append(got, buf[:n]...)
	}
	conn.Close()
	if !bytes.Equal(got, sent) {
		t.Fatal("the stream came back changed")
	}
}

// What is refused is passed by, between other frames too.
func TestRefusedPacketsAreNotRead(t *testing.T) {
	netns.Test(t)
	for _, plain := range []bool{false, true} {
		refused := 0
		d := open(t, Config{Name: "tt0", MTU: 1500, Queues: 1, plain: plain, Refuse: func(packet []byte) bool {
			if packet[0]>>4 != 4 || !bytes.HasSuffix(packet, []byte("bad")) {
				return false
			}
			refused++
			return true
		}})
		if err := os.WriteFile("/proc/sys/net/ipv6/conf/tt0/disable_ipv6", []byte("1"), 0); err != nil {
			t.Fatal(err) // the kernel would send of its own accord
		}
		if err := d.SetCarrier(true); err != nil {
			t.Fatal(err)
		}
		ip(t, "addr", "add", "10.55.0.1/24", "dev", "tt0")
		ip(t, "link", "set", "tt0", "up")
		conn, err := net.Dial("udp4", "10.55.0.2:5555")
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		for _, text := range []string{"bad", "bad", "good 1", "bad", "good 2", "bad"} {
			if _, err := conn.Write([]byte(text)); err != nil {
				t.Fatal(err)
			}
		}
		buf := make([]byte, MaxFrame)
		for _, want := range []string{"good 1", "good 2"} {
			n, err := d.TryRead(0, buf)
			if err != nil || !bytes.HasSuffix(buf[:n], []byte(want)) {
				t.Fatalf("plain=%v: read %q, %v; want %q", plain, buf[:n], err, want)
			}
		}
		if _, err := d.TryRead(0, buf); !errors.Is(err, ErrEmpty) || refused != 4 {
			t.Errorf("plain=%v: %v, %d refused", plain, err, refused)
		}
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// An interruption ends the wait for packets that is under way, or the next, and no more than that; what comes
// afterwards is read.
func TestInterrupt(t *testing.T) {
	netns.Test(t)
	d := open(t, Config{Name: "tt0", MTU: 1500, Queues: 2})
	ip(t, "link", "set", "tt0", "up")
	ip(t, "addr", "add", "10.9.0.1/24", "dev", "tt0")
	if err := d.SetCarrier(true); err != nil {
		t.Fatal(err)
	}
	p := make([]byte, MaxFrame)
	drain := func() {
		for queue := range 2 {
			for {
				if _, err := d.TryRead(queue, p); errors.Is(err, ErrEmpty) {
					break
				} else if err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	for range 100 {
		drain()
		waited := make(chan error)
		go func() { waited <- d.Wait(0) }()
		d.Interrupt(0) // before the wait begins, or afterwards
		select {
		case err := <-waited:
			if err != nil {
				t.Fatal(err)
			}
		case <-time.After(40 * time.Second):
			t.Fatal("the wait goes on")
		}
	}
	d.Interrupt(0)
	d.Interrupt(1)
	drain() // reading goes on
	c, err := net.Dial("udp", "10.9.0.2:9")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
		if _, err := c.Write([]byte("hello there")); err != nil {
			t.Fatal(err)
		}
		for queue := range 2 {
			if n, err := d.TryRead(queue, p); err == nil && bytes.Contains(p[:n], []byte("hello there")) {
				return
			} else if err != nil && !errors.Is(err, ErrEmpty) {
				t.Fatal(err)
			}
		}
		if time.Now().After(deadline) {
			t.Fatal("nothing is read any more")
		}
	}
}
