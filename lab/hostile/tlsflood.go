package main

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"fmt"
	"net"
	"net/netip"
	"os/signal"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

const (
	tlsFloodRate    = 1900 // connections a second, if the machine can
	tlsFloodHeld    = 1000 // at once
	tlsFloodWorkers = 16
)

// floodTLS opens connections from addresses of a prefix, all of which must be this
// host's, and holds still: it sends nothing, or a TLS hello that was made once. It
// ends after a while, or with SIGTERM.
func floodTLS(victim, from string, sources int, d time.Duration, kind string) error {
	prefix, err := netip.ParsePrefix(from)
	if err != nil {
		return err
	}
	var hello []byte
	if kind == "hello" {
		if hello, err = recordHello(); err != nil {
			return err
		}
	}
	addrs := make([]netip.Addr, sources)
	for i := range addrs {
		addrs[i] = addrOf(prefix)
	}
	ctx, cancel := context.WithTimeout(context.Background(), d)
	defer cancel()
	ctx, stop := signal.NotifyContext(ctx, unix.SIGTERM)
	defer stop()
	var opened atomic.Int64
	var workers sync.WaitGroup
	began := time.Now()
	for w := range tlsFloodWorkers {
		workers.Go(func() { holdStill(ctx, victim, addrs, w, hello, &opened) })
	}
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for told := false; ctx.Err() == nil; {
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
		if n := opened.Load(); !told && n > tlsFloodHeld {
			told = true
			fmt.Println("the flood is on")
		}
	}
	workers.Wait()
	rate := float64(opened.Load()) / time.Since(began).Seconds()
	fmt.Printf("%d connections from %d addresses, %.0f a second\n", opened.Load(), sources, rate)
	if rate < tlsFloodRate/20 {
		return fmt.Errorf("%.0f a second are no flood", rate)
	}
	return nil
}

// holdStill opens its part of the connections.
func holdStill(ctx context.Context, victim string, addrs []netip.Addr, worker int, hello []byte, opened *atomic.Int64) {
	var held []net.Conn
	defer func() {
		for _, c := range held {
			c.Close()
		}
	}()
	tick := time.NewTicker(time.Second * tlsFloodWorkers / tlsFloodRate)
	defer tick.Stop()
	for i := worker; ; i += tlsFloodWorkers {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		d := net.Dialer{LocalAddr: &net.TCPAddr{IP: addrs[i%len(addrs)].AsSlice()}, Timeout: dialLimit}
		c, err := d.DialContext(ctx, "tcp", victim)
		if err != nil {
			continue
		}
		opened.Add(1)
		_ = c.(*net.TCPConn).SetLinger(0) // so that the many do not linger here
		_, _ = c.Write(hello)             // the router may have closed it
		if held = append(held, c); len(held) > tlsFloodHeld/tlsFloodWorkers {
			held[0].Close()
			held = held[1:]
		}
	}
}

// addrOf returns a random address of a prefix.
func addrOf(p netip.Prefix) netip.Addr {
	a, random := p.Masked().Addr().AsSlice(), make([]byte, 16)
	rand.Read(random)
	for i := range a {
		fixed := min(max(p.Bits()-8*i, 0), 8)
		a[i] |= random[i] & (0xff >> fixed)
	}
	addr, _ := netip.AddrFromSlice(a)
	return addr
}

// recordHello returns the first message of a TLS client.
func recordHello() ([]byte, error) {
	here, there := net.Pipe()
	defer there.Close()
	go func() {
		defer here.Close()
		_ = tls.Client(here, &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS13, NextProtos: []string{"h2", "http/1.1"}}).Handshake()
	}()
	b := make([]byte, 16<<10)
	n, err := there.Read(b)
	return b[:n], err
}
