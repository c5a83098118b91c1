package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"warren/lab/path"
	"warren/lab/topo"
)

// wire is a network between the ends of a pair that delays packets and loses
// some: a namespace with a port to each end, and rules that hand each frame from
// one port to the other.
//
//	A wan0 ═ a (loss) ───────────────────────── (loss) b ═ wan0 B
//	A wan0 ═ a (loss) ── path-a ═[delay]═ path-b (loss) b ═ wan0 B
//
// The ends cut what they send into packets of the MTU, as a network card does,
// so that a packet is lost and not 64 KiB at once, and join again what arrives.
type wire struct {
	*pair
	host  *topo.Host
	delay time.Duration // one way
	loss  path.Loss     // with the delay, from the beginning on; beside setLoss
	rate  float64       // of either direction, bits a second; 0: no limit
	queue time.Duration // before the rate
	path  *path.Path    // with the delay

	sendBuffer int // bytes that a socket of the ends may have sent and not acknowledged, or not sent yet; 0: as the kernel has it
}

const pathPortA, pathPortB = "path-a", "path-b"

func newWire(ctx context.Context, delay time.Duration) (*wire, error) {
	return newWireLike(ctx, wire{delay: delay})
}

// newWireLike makes a wire with the same delay, loss, rate and send buffers.
func newWireLike(ctx context.Context, like wire) (*wire, error) {
	t, err := topo.New(ctx, "bench")
	if err != nil {
		return nil, err
	}
	w := &wire{pair: &pair{Topology: t}, delay: like.delay, loss: like.loss, rate: like.rate, queue: like.queue, sendBuffer: like.sendBuffer}
	if err := w.build(ctx); err != nil {
		return nil, errors.Join(err, t.Close())
	}
	return w, nil
}

func (w *wire) build(ctx context.Context) (err error) {
	if err := w.hosts(ctx); err != nil {
		return err
	}
	if w.sendBuffer > 0 {
		for _, h := range []*topo.Host{w.a, w.b} {
			// The least, the first and the most, of which the first two are the kernel's.
			if err := h.Sysctl(ctx, fmt.Sprintf("net.ipv4.tcp_wmem=4096 16384 %d", w.sendBuffer)); err != nil {
				return err
			}
		}
	}
	if w.host, err = w.Host(ctx, "wire"); err != nil {
		return err
	}
	for _, end := range []struct {
		host       *topo.Host
		addr, port string
	}{{w.a, underlayA, "a"}, {w.b, underlayB, "b"}} {
		_, err := w.Connect(ctx, end.host, "wan0", []string{end.addr + "/30"}, w.host, end.port, nil)
		if err != nil {
			return err
		}
		_, err = end.host.Run(ctx, "ethtool", "-K", "wan0", "tso", "off", "tx-udp-segmentation", "off", "gro", "on")
		if err != nil {
			return err
		}
		// A veth joins again only what comes from one that cannot take it joined
		// (veth_skb_is_eligible_for_gro in Linux' drivers/net/veth.c).
		if _, err := w.host.Run(ctx, "ethtool", "-K", end.port, "tso", "off"); err != nil {
			return err
		}
	}
	if w.delay > 0 {
		if err := w.emulate(ctx); err != nil {
			return err
		}
	}
	if err := w.setLoss(ctx, 0); err != nil {
		return err
	}
	return w.finish(ctx)
}

// emulate makes a link in the middle that has the path. The ends' own have not, as what arrives there is joined.
func (w *wire) emulate(ctx context.Context) error {
	link, err := w.Connect(ctx, w.host, pathPortA, nil, w.host, pathPortB, nil)
	if err != nil {
		return err
	}
	p, err := link.Path(ctx, rand.Uint64())
	if err != nil {
		return err
	}
	w.path = p
	for _, end := range []path.End{path.A, path.B} {
		p.Set(end, path.Conditions{Delay: w.delay, Loss: w.loss, Rate: w.rate, Queue: w.queue})
	}
	return nil
}

// setLoss makes the wire lose that many of 1000 IPv4 packets, at random, in each direction.
func (w *wire) setLoss(ctx context.Context, permille int) error {
	rules := "table netdev wire\ndelete table netdev wire\ntable netdev wire {\n"
	forward := func(from, to string, permille int) {
		rules += fmt.Sprintf("chain %s {\ntype filter hook ingress device %q priority -500\n", from, from)
		if permille > 0 {
			rules += fmt.Sprintf("meta protocol ip numgen random mod 1000 < %d drop\n", permille)
		}
		rules += fmt.Sprintf("fwd to %q\n}\n", to)
	}
	if w.delay == 0 {
		forward("a", "b", permille)
		forward("b", "a", permille)
	} else {
		forward("a", pathPortA, permille)
		forward(pathPortB, "b", 0)
		forward("b", pathPortB, permille)
		forward(pathPortA, "a", 0)
	}
	_, err := w.host.Run(ctx, "nft", rules+"}\n")
	return err
}
