package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"warren/lab/topo"
)

const (
	// siteA and siteB are addresses in the networks of A and of what is behind the providers.
	siteA, siteB       = "10.1.0.1", "10.2.0.1"
	networkA, networkB = "10.1.0.0/16", "10.2.0.0/16"

	// loadSpan is for how long packets of the lines are counted.
	loadSpan = 300 * time.Millisecond
)

// lines is host A, joined by providers with host B, or each with a host of its own.
//
//	     ┌ wan0 ═ provider0 ═ wan0 ┐
//	A ───┤                         ├─── B
//	     └ wan1 ═ provider1 ═ wan1 ┘
type lines struct {
	*topo.Topology
	a         *topo.Host
	providers []provider
}

// provider is a line between A and the far end, which A reaches at the address farAddr.
type provider struct {
	far               *topo.Host
	nearAddr, farAddr string
	near              *topo.Link // of A and the provider
	host              *topo.Host // of the provider
}

// wan is the name of the interface, at either end, to provider number i.
func wan(i int) string { return fmt.Sprintf("wan%d", i) }

// newLines makes A and so many providers; separate says that each leads to a host of its own.
func newLines(ctx context.Context, providers int, separate bool) (*lines, error) {
	t, err := topo.New(ctx, "bench")
	if err != nil {
		return nil, err
	}
	l := &lines{Topology: t}
	if err := l.build(ctx, providers, separate); err != nil {
		return nil, errors.Join(err, t.Close())
	}
	return l, nil
}

func (l *lines) build(ctx context.Context, providers int, separate bool) (err error) {
	if l.a, err = l.site(ctx, "a", siteA); err != nil {
		return err
	}
	var far *topo.Host
	for i := range providers {
		if far == nil || separate {
			if far, err = l.site(ctx, fmt.Sprintf("b%d", i), siteB); err != nil {
				return err
			}
		}
		if err := l.join(ctx, i, far); err != nil {
			return err
		}
	}
	return nil
}

// site makes a host with an address in its own network.
func (l *lines) site(ctx context.Context, name, addr string) (*topo.Host, error) {
	h, err := l.Host(ctx, name, topo.Forwarding())
	if err != nil {
		return nil, err
	}
	return h, h.IP(ctx, "address add "+addr+"/32 dev lo")
}

// join puts provider number i between A and a far end.
func (l *lines) join(ctx context.Context, i int, far *topo.Host) error {
	addr := func(last int) string { return fmt.Sprintf("192.0.2.%d", 8*i+last) }
	between, err := l.Host(ctx, fmt.Sprintf("provider%d", i), topo.Forwarding())
	if err != nil {
		return err
	}
	p := provider{far: far, host: between, nearAddr: addr(1), farAddr: addr(5)}
	p.near, err = l.Connect(ctx, l.a, wan(i), []string{addr(1) + "/30"}, between, fromA, []string{addr(2) + "/30"})
	if err != nil {
		return err
	}
	if _, err := l.Connect(ctx, far, wan(i), []string{addr(5) + "/30"}, between, fromFar, []string{addr(6) + "/30"}); err != nil {
		return err
	}
	l.providers = append(l.providers, p)
	return errors.Join(l.a.Route(ctx, addr(4)+"/30", addr(2)), far.Route(ctx, addr(0)+"/30", addr(6)))
}

// b is the far end of the first provider.
func (l *lines) b() *topo.Host { return l.providers[0].far }

// The interfaces of a provider, to A and to the far end.
const fromA, fromFar = "a", "b"

// silence has the provider drop what comes from A and from the far end, as of one moment, while all
// interfaces keep their carrier.
func (p provider) silence(ctx context.Context) error { return p.drop(ctx, fromA, fromFar) }

// drop has the provider drop what comes in by some of its interfaces.
func (p provider) drop(ctx context.Context, interfaces ...string) error {
	rules := "table netdev provider\ndelete table netdev provider\ntable netdev provider {\n"
	for _, i := range interfaces {
		rules += fmt.Sprintf("chain %s {\ntype filter hook ingress device %q priority -500; policy drop;\n}\n", i, i)
	}
	_, err := p.host.Run(ctx, "nft", rules+"}\n")
	return err
}

// down sets A's interface to the provider down.
func (p provider) down(ctx context.Context) error { return p.near.A.Down(ctx) }

// heal undoes silence, drop and down.
func (p provider) heal(ctx context.Context) error {
	return errors.Join(p.drop(ctx), p.near.Heal(ctx))
}

// heal mends all lines.
func (l *lines) heal(ctx context.Context) error {
	var errs []error
	for _, p := range l.providers {
		errs = append(errs, p.heal(ctx))
	}
	return errors.Join(errs...)
}

// busiest is the number of the line by which A sends most packets just now.
func (l *lines) busiest(ctx context.Context) (int, error) {
	before, err := l.sent(ctx)
	if err != nil {
		return 0, err
	}
	if err := pause(ctx, loadSpan); err != nil {
		return 0, err
	}
	after, err := l.sent(ctx)
	if err != nil {
		return 0, err
	}
	best := 0
	for i := range after {
		if after[i]-before[i] > after[best]-before[best] {
			best = i
		}
	}
	return best, nil
}

// sent is how many packets A has sent by each line.
func (l *lines) sent(ctx context.Context) ([]int, error) {
	var out []int
	for i := range l.providers {
		text, err := l.a.Run(ctx, "cat", "/sys/class/net/"+wan(i)+"/statistics/tx_packets")
		if err != nil {
			return nil, err
		}
		n, err := strconv.Atoi(strings.TrimSpace(text))
		if err != nil {
			return nil, fmt.Errorf("packets of %s: %w", wan(i), err)
		}
		out = append(out, n)
	}
	return out, nil
}
