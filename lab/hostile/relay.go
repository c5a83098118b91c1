package main

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// relayQueue is how many pieces or datagrams wait in a relay, each way.
const relayQueue = 4096

// relay listens, and carries what comes to another address, each way after a delay. It
// ends with the first error of its listener.
func relay(listen, to string, delay time.Duration) error {
	l, err := net.Listen("tcp", listen)
	if err != nil {
		return err
	}
	for {
		in, err := l.Accept()
		if err != nil {
			return err
		}
		go func() {
			out, err := net.Dial("tcp", to)
			if err != nil {
				in.Close()
				return
			}
			go carryLate(in, out, delay)
			carryLate(out, in, delay)
		}()
	}
}

// carryLate copies what comes a while after it came, and then closes.
func carryLate(from, to net.Conn, delay time.Duration) {
	type piece struct {
		due time.Time
		b   []byte
		err error
	}
	way := make(chan piece, relayQueue)
	go func() {
		defer close(way)
		for {
			b := make([]byte, 16<<10)
			n, err := from.Read(b)
			way <- piece{time.Now().Add(delay), b[:n], err}
			if err != nil {
				return
			}
		}
	}()
	defer to.Close()
	for p := range way {
		time.Sleep(time.Until(p.due))
		if _, err := to.Write(p.b); err != nil {
			from.Close()
		}
		if p.err != nil && !errors.Is(p.err, io.EOF) && !errors.Is(p.err, unix.ECONNRESET) && !strings.Contains(p.err.Error(), "closed") {
			fmt.Println("relay:", p.err)
		}
	}
}

// badPath is what becomes of the datagrams of a relay.
type badPath struct {
	delay   time.Duration // each way
	longest int           // bytes of a datagram's payload that pass
	lost    float64       // of those, at random: 0 to 1
}

// parseBadPath reads DELAY LONGEST LOST, the last in per cent.
func parseBadPath(args []string) (p badPath, err error) {
	if p.delay, err = time.ParseDuration(args[0]); err != nil {
		return p, err
	}
	if p.longest, err = strconv.Atoi(args[1]); err != nil {
		return p, err
	}
	percent, err := strconv.ParseFloat(args[2], 64)
	if err == nil && (percent < 0 || percent > 100) {
		err = fmt.Errorf("%s %% lost", args[2])
	}
	p.lost = percent / 100
	return p, err
}

// relayDatagrams does for UDP what relay does, and loses datagrams. Each sender has a socket
// of its own towards the other address, for as long as the relay runs.
func relayDatagrams(listen, to string, path badPath) error {
	addr, err := netip.ParseAddrPort(listen)
	if err != nil {
		return err
	}
	near, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(addr))
	if err != nil {
		return err
	}
	far := map[netip.AddrPort]func([]byte){}
	for b := make([]byte, 1<<16); ; {
		n, from, err := near.ReadFromUDPAddrPort(b)
		if err != nil {
			return err
		}
		if far[from] == nil {
			c, err := net.Dial("udp", to)
			if err != nil {
				return err
			}
			far[from] = path.way(func(b []byte) error {
				_, err := c.Write(b)
				return err
			})
			back := path.way(func(b []byte) error {
				_, err := near.WriteToUDPAddrPort(b, from)
				return err
			})
			go func() {
				for b := make([]byte, 1<<16); ; {
					n, err := c.Read(b)
					switch {
					case err == nil:
						back(b[:n])
					case !errors.Is(err, unix.ECONNREFUSED): // nobody listens there yet
						fmt.Println("relay:", err)
						return
					}
				}
			}()
		}
		far[from](b[:n])
	}
}

// way returns what takes datagrams for one direction. It keeps nothing of them.
func (p badPath) way(send func([]byte) error) func([]byte) {
	type datagram struct {
		due time.Time
		b   []byte
	}
	queue := make(chan datagram, relayQueue)
	go func() {
		for d := range queue {
			time.Sleep(time.Until(d.due))
			_ = send(d.b) // what is not sent is lost, as anything may be here
		}
	}()
	return func(b []byte) {
		if len(b) > p.longest || rand.Float64() < p.lost {
			return
		}
		select {
		case queue <- datagram{time.Now().Add(p.delay), append([]byte(nil), b...)}:
		default:
		}
	}
}
