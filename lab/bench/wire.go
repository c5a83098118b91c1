package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"warren/lab/path"
	"warren/lab/topo"
)

// wire is a network between the ends of a pair that delays packets and loses
// some: a namespace with a port to each end, and rules that hand each frame from
// one port to the other.
//
//	A wan0 ═ a (loss) ────────────────────────────────── (loss) b ═ wan0 B
//	A wan0 ═ a (loss) ── relay-a [delay] relay-b ─────── (loss) b ═ wan0 B
//
// The ends cut what they send into packets of the MTU, as a network card does,
// so that a packet is lost and not 64 KiB at once, and join again what arrives.
type wire struct {
	*pair
	host  *topo.Host
	delay time.Duration // one way
	loss  path.Loss     // in the relay, from the beginning on; beside setLoss
	rate  string        // of either direction, as tc writes it; "": none
	queue time.Duration // before the rate
}

const relayPortA, relayPortB = "relay-a", "relay-b"

func newWire(ctx context.Context, delay time.Duration) (*wire, error) {
	return newWireLike(ctx, wire{delay: delay})
}

// newWireLike makes a wire with the same delay, loss and rate.
func newWireLike(ctx context.Context, like wire) (*wire, error) {
	t, err := topo.New(ctx, "bench")
	if err != nil {
		return nil, err
	}
	w := &wire{pair: &pair{Topology: t}, delay: like.delay, loss: like.loss, rate: like.rate, queue: like.queue}
	if err := w.build(ctx); err != nil {
		return nil, errors.Join(err, t.Close())
	}
	return w, nil
}

func (w *wire) build(ctx context.Context) (err error) {
	if err := w.hosts(ctx); err != nil {
		return err
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
	if w.rate != "" {
		if err := w.limit(ctx); err != nil {
			return err
		}
	}
	if w.delay > 0 {
		if err := w.startRelay(ctx); err != nil {
			return err
		}
	}
	if err := w.setLoss(ctx, 0); err != nil {
		return err
	}
	return w.finish(ctx)
}

// startRelay runs this program again as the relay, which makes its two ports.
func (w *wire) startRelay(ctx context.Context) error {
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("run this program again: %w", err)
	}
	relay, err := w.host.Start(self, "relay", w.delay.String(), format(w.loss.Share, -1), format(w.loss.Run, -1))
	if err != nil {
		return err
	}
	_, err = topo.Eventually(ctx, 5*time.Millisecond, 5*time.Second, func() error {
		if !strings.Contains(relay.Log(), "ready") {
			return fmt.Errorf("the relay is not ready: %s", relay.Log())
		}
		return nil
	})
	if err != nil {
		return err
	}
	var lines []string
	for _, port := range []string{relayPortA, relayPortB} {
		lines = append(lines, fmt.Sprintf("link set dev %s txqueuelen %d up", port, path.Queue))
	}
	return w.host.IP(ctx, lines...)
}

// limit has the ports to the ends send at a rate, behind a queue that drops what is too much.
func (w *wire) limit(ctx context.Context) error {
	for _, port := range []string{"a", "b"} {
		_, err := w.host.Run(ctx, "tc", "qdisc", "add", "dev", port, "root", "tbf", "rate", w.rate, "burst", "8kb",
			"latency", strconv.FormatInt(w.queue.Milliseconds(), 10)+"ms")
		if err != nil {
			return err
		}
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
		forward("a", relayPortA, permille)
		forward(relayPortB, "b", 0)
		forward("b", relayPortB, permille)
		forward(relayPortA, "a", 0)
	}
	_, err := w.host.Run(ctx, "nft", rules+"}\n")
	return err
}
