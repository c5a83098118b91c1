package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"warren/lab/topo"
)

const (
	underlayA, underlayB = "192.0.2.1", "192.0.2.2"
	tunnelNet            = "10.99.0.0" // a /24 at most
	tunnelA, tunnelB     = "10.99.0.1", "10.99.0.2"

	// streams is the number of parallel streams, each with an iperf3 server of
	// its own: one iperf3 process of this age has one thread for all its streams.
	// The server behind them is for the one stream, and the last for one outside the tunnel: a server that has not
	// heard of the end of a test yet, since that was lost, refuses the next, and one that just has may reset it.
	streams       = 4
	oneServer     = streams
	outsideServer = streams + 1
	iperfNumber   = streams + 2
	iperfPort     = 5201
)

// pair is the underlay: hosts A and B joined by a veth pair with an MTU of 1500.
type pair struct {
	*topo.Topology
	a, b    *topo.Host
	servers []*topo.Process // iperf3 on B
}

func newPair(ctx context.Context) (*pair, error) {
	t, err := topo.New(ctx, "bench")
	if err != nil {
		return nil, err
	}
	p := &pair{Topology: t}
	if err := p.build(ctx); err != nil {
		return nil, errors.Join(err, t.Close())
	}
	return p, nil
}

func (p *pair) build(ctx context.Context) error {
	if err := p.hosts(ctx); err != nil {
		return err
	}
	_, err := p.Connect(ctx, p.a, "wan0", []string{underlayA + "/30"}, p.b, "wan0", []string{underlayB + "/30"})
	if err != nil {
		return err
	}
	return p.finish(ctx)
}

// hosts makes both ends. What the kernel has learned of a path in one turn is
// not to help or hinder the next one on it.
func (p *pair) hosts(ctx context.Context) (err error) {
	if p.a, err = p.Host(ctx, "a", topo.Forwarding()); err != nil {
		return err
	}
	if p.b, err = p.Host(ctx, "b", topo.Forwarding()); err != nil {
		return err
	}
	for _, h := range []*topo.Host{p.a, p.b} {
		if err := h.Sysctl(ctx, "net.ipv4.tcp_no_metrics_save=1"); err != nil {
			return err
		}
	}
	return nil
}

// finish readies two ends that are joined.
func (p *pair) finish(ctx context.Context) error {
	// A namespace may not choose an algorithm that the machine does not list as
	// allowed, but a route may name any: so the outer connections use the same
	// one as the inner ones, whatever the machine's default is, unless the contender
	// chooses another.
	for _, end := range []struct {
		host *topo.Host
		addr string
	}{{p.a, underlayA}, {p.b, underlayB}} {
		err := end.host.IP(ctx, "route replace 192.0.2.0/30 dev wan0 proto kernel scope link src "+
			end.addr+" congctl "+congestionControl)
		if err != nil {
			return err
		}
	}
	return p.startServers(ctx)
}

// startServers starts the iperf3 servers on B afresh.
func (p *pair) startServers(ctx context.Context) error {
	for _, s := range p.servers {
		s.Kill9()
		if err := s.Wait(ctx); ctx.Err() != nil {
			return err
		}
	}
	p.servers = nil
	for i := range iperfNumber {
		s, err := p.b.Start("iperf3", "-s", "-p", fmt.Sprint(iperfPort+i))
		if err != nil {
			return err
		}
		p.servers = append(p.servers, s)
	}
	_, err := topo.Eventually(ctx, 20*time.Millisecond, 5*time.Second, func() error {
		out, err := p.b.Run(ctx, "ss", "-Hltn")
		if err != nil {
			return err
		}
		for i := range iperfNumber {
			if !strings.Contains(out, fmt.Sprintf(":%d ", iperfPort+i)) {
				return fmt.Errorf("iperf3 does not listen on port %d", iperfPort+i)
			}
		}
		return nil
	})
	return err
}

// file writes a file for a contender and returns its path. It holds a secret as
// far as this code is concerned.
func (p *pair) file(name, text string) (string, error) {
	path := filepath.Join(p.Dir(), name)
	return path, writeFile(path, text)
}

// writeFile writes a configuration or a secret.
func writeFile(path, text string) error {
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		return fmt.Errorf("configuration: %w", err)
	}
	return nil
}
