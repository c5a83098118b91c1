//go:build privileged

package tun

import (
	"encoding/binary"
	"errors"
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"warren/internal/netns"
)

// How many packets the kernel makes of a frame from the network, and how long they
// are: it forwards them to an interface that has no offload.
func TestFramesBecomeFewPackets(t *testing.T) {
	netns.Test(t)
	in := open(t, Config{Name: "tt0", MTU: 1500, Queues: 1})
	out := open(t, Config{Name: "tt1", MTU: 1500, Queues: 1, plain: true})
	for _, path := range []string{"ipv4/ip_forward", "ipv6/conf/all/forwarding"} {
		if err := os.WriteFile("/proc/sys/net/"+path, []byte("1"), 0); err != nil {
			t.Fatal(err)
		}
	}
	for _, d := range []*Device{in, out} {
		ip(t, "link", "set", d.Name(), "up")
		if err := d.SetCarrier(true); err != nil {
			t.Fatal(err)
		}
	}
	ip(t, "addr", "add", "10.0.0.1/24", "dev", "tt0")
	ip(t, "route", "add", "10.1.0.0/24", "dev", "tt1")
	ip(t, "-6", "route", "add", "fd00:1::/64", "dev", "tt1")

	for name, tc := range map[string]struct {
		v6      bool
		typ     byte
		size    int
		payload int
		want    int // packets
	}{
		"tcp, 1":        {false, tcp4, 1, 984, 0},
		"tcp, 47":       {false, tcp4, 47, 984, 0},
		"tcp, 48":       {false, tcp4, 48, 984, 21},
		"tcp v6, 1":     {true, tcp6, 1, 984, 0},
		"tcp v6, 48":    {true, tcp6, 48, 984, 21},
		"udp, 1":        {false, usoL4, 1, 128, 0},
		"udp, 48":       {false, usoL4, 48, 984, 21},
		"udp v6, 1":     {true, usoL4, 1, 128, 0},
		"udp, odd":      {false, usoL4, 777, 10000, 13},
		"udp, jumbo":    {false, usoL4, 1473, 3000, 0},
		"tcp, jumbo":    {false, tcp4, 8960, 14600, 10},
		"tcp, ordinary": {false, tcp4, 1460, 14600, 10},
	} {
		t.Run(name, func(t *testing.T) {
			l4, proto, sumOffset := tcp(0, tc.payload), byte(unix.IPPROTO_TCP), 16
			if tc.typ == usoL4 {
				l4, proto, sumOffset = udp(tc.payload), unix.IPPROTO_UDP, 6
				binary.BigEndian.PutUint16(l4[4:], uint16(len(l4)))
			} else {
				l4[13] = 0x10 // ACK
			}
			p := ipv4(proto, l4...)
			copy(p[12:], []byte{10, 0, 0, 9, 10, 1, 0, 9})
			putHeaderSum(p)
			if tc.v6 {
				p = ipv6(proto, l4...)
				copy(p[8:], []byte{0xfd, 2: 0, 15: 9})
				copy(p[24:], []byte{0xfd, 3: 1, 15: 9})
			}
			f := frame(sum, tc.typ, tc.size, len(p)-len(l4), sumOffset, p)
			if err := Check(f, in.MTU()); err == nil {
				if err := in.Write(f); err != nil {
					t.Fatal(err)
				}
			} else if tc.want > 0 {
				t.Fatal(err)
			}
			// The packet that marks the end is behind all others.
			end := ipv4(unix.IPPROTO_UDP, udp(4)...)
			copy(end[12:], []byte{10, 0, 0, 9, 10, 1, 0, 10})
			binary.BigEndian.PutUint16(end[24:], 12)
			putHeaderSum(end)
			last := frame(0, none, 0, 0, 0, end)
			if err := errors.Join(Check(last, in.MTU()), in.Write(last)); err != nil {
				t.Fatal(err)
			}
			count, buf := 0, make([]byte, MaxFrame)
			for {
				n, err := out.TryRead(0, buf)
				if errors.Is(err, ErrEmpty) {
					err = out.Wait(0)
					if err == nil {
						continue
					}
				}
				if err != nil {
					t.Fatal(err)
				}
				q := buf[HeaderLen:n]
				if q[0]>>4 == 4 && q[19] == 10 {
					break
				}
				if q[0]>>4 == 6 && q[39] != 9 {
					continue // the kernel's own
				}
				count++
				if len(q) > 1500 {
					t.Errorf("a packet of %d bytes", len(q))
				}
			}
			if count != tc.want {
				t.Fatalf("%d packets, want %d", count, tc.want)
			}
		})
	}
}

// putHeaderSum completes an IPv4 header.
func putHeaderSum(p []byte) {
	var sum uint32
	for i := 0; i < 20; i += 2 {
		sum += uint32(binary.BigEndian.Uint16(p[i:]))
	}
	for sum > 0xffff {
		sum = sum&0xffff + sum>>16
	}
	binary.BigEndian.PutUint16(p[10:], ^uint16(sum))
}
