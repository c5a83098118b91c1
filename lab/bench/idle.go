package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"warren/lab/topo"
)

const (
	// idleSettle is how long the daemons idle before their memory is read: Go
	// gives memory back to the kernel in the background.
	idleSettle = 15 * time.Second
	idleWithin = 120 * time.Second
)

// idleResult is Warren's memory with one tunnel and with many, of the larger end.
type idleResult struct {
	Further         int     `json:"further_tunnels"`
	OneMB           float64 `json:"one_tunnel_mb"`
	AllMB           float64 `json:"all_tunnels_mb"`
	PerTunnelKB     float64 `json:"per_further_tunnel_kb"`
	AllEstablishedS float64 `json:"all_established_s"`
}

// measureIdleTunnels joins two routers by one tunnel, reads their memory, and
// does it again with further tunnels between the same two, told apart by `link`.
func measureIdleTunnels(ctx context.Context, bin string, further int) (r *idleResult, err error) {
	fmt.Printf("idle tunnels: 1, then %d\n", 1+further)
	ctx, cancel := context.WithTimeout(ctx, 2*(idleWithin+idleSettle)+turnSlack)
	defer cancel()
	p, err := newPair(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, p.Close()) }()
	a, err := topo.NewWarren(ctx, p.a, bin)
	if err != nil {
		return nil, err
	}
	b, err := topo.NewWarren(ctx, p.b, bin)
	if err != nil {
		return nil, err
	}
	if err := configureRouters(a, b); err != nil {
		return nil, err
	}
	r = &idleResult{Further: further}
	if r.OneMB, _, err = idleMemory(ctx, a, b, 0, 1); err != nil {
		return nil, err
	}
	var took time.Duration
	if r.AllMB, took, err = idleMemory(ctx, a, b, 1, 1+further); err != nil {
		return nil, err
	}
	r.AllEstablishedS = took.Seconds()
	r.PerTunnelKB = (r.AllMB - r.OneMB) * 1024 / float64(further)
	return r, nil
}

// idleMemory configures tunnels from..to-1 besides those there are, starts both
// routers afresh, waits for all sessions, and returns the memory of the larger
// end in MiB and how long the sessions took.
func idleMemory(ctx context.Context, a, b *topo.Warren, from, to int) (float64, time.Duration, error) {
	for link := from; link < to; link++ {
		if err := configureTunnel(a, b, tunnel{name: fmt.Sprintf("idle%d", link), link: link}); err != nil {
			return 0, 0, err
		}
	}
	for _, r := range []*topo.Warren{a, b} {
		if err := r.Start(); err != nil {
			return 0, 0, err
		}
	}
	took, err := topo.Eventually(ctx, 200*time.Millisecond, idleWithin, func() error {
		return allEstablished(ctx, to, a, b)
	})
	if err != nil {
		return 0, 0, fmt.Errorf("%d idle tunnels: %w\nlog:\n%s", to, err, tail(a.Process.Log()))
	}
	select {
	case <-time.After(idleSettle):
	case <-ctx.Done():
		return 0, 0, ctx.Err()
	}
	if err := allEstablished(ctx, to, a, b); err != nil {
		return 0, 0, fmt.Errorf("%d idle tunnels did not stay: %w", to, err)
	}
	var most int64
	for _, r := range []*topo.Warren{a, b} {
		rss, err := residentBytes(r.Process.PID())
		if err != nil {
			return 0, 0, err
		}
		most = max(most, rss)
	}
	for _, r := range []*topo.Warren{a, b} {
		if err := r.Process.Stop(ctx); err != nil {
			return 0, 0, err
		}
	}
	return float64(most) / (1 << 20), took, nil
}

func allEstablished(ctx context.Context, want int, routers ...*topo.Warren) error {
	for _, r := range routers {
		s, err := r.Status(ctx)
		if err != nil {
			return err
		}
		up := 0
		for _, p := range s.Peers {
			if p.Tunnel.State == "up" && p.BGP.State == "established" {
				up++
			}
		}
		if up != want {
			return fmt.Errorf("%s has %d of %d sessions", r.Host.Name, up, want)
		}
	}
	return nil
}

// tail is the end of a log, as much as an error message can carry.
func tail(log string) string {
	const most = 4000
	if len(log) > most {
		return "…" + log[len(log)-most:]
	}
	return log
}
