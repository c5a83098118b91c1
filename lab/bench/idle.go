package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"syscall"
	"time"

	"warren/lab/topo"
)

const (
	// idleSettle is how long the daemons idle before their memory is read: Go
	// gives memory back to the kernel in the background.
	idleSettle = 15 * time.Second
	idleWithin = 180 * time.Second
)

// idleResult is what idle tunnels cost one Warren, over one transport.
type idleResult struct {
	Transport   string    `json:"transport"`
	One         idleState `json:"one_tunnel"`
	All         idleState `json:"all_tunnels"`
	PerTunnelKB float64   `json:"per_further_tunnel_kb"`
}

// idleState is a process with so many idle tunnels; of both ends the larger figures.
type idleState struct {
	Tunnels     int     `json:"tunnels"`
	MemoryMB    float64 `json:"memory_mb"`
	Goroutines  int     `json:"goroutines"`
	Threads     int     `json:"threads"`
	Descriptors int     `json:"descriptors"`
	// CPUPercent of one core, all up and idle: keepalives of tunnels and sessions.
	CPUPercent float64 `json:"cpu_percent"`
	// Seconds from the start until all tunnels were up, and all sessions established.
	UpS          float64 `json:"all_up_s"`
	EstablishedS float64 `json:"all_established_s"`
}

// measureIdle joins two routers by one tunnel, looks at what that costs, and
// does it again with further tunnels between the same two, told apart by `link`.
func measureIdle(ctx context.Context, bin, transport string, further int) (r *idleResult, err error) {
	fmt.Printf("idle tunnels over %s: 1, then %d\n", transportTitle(transport), 1+further)
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
	if err := configureRouters(a, b, transport); err != nil {
		return nil, err
	}
	secret := ""
	if transport == transportWireGuard {
		secret = filepath.Join(p.Dir(), "idle.secret")
		if _, err := p.a.Run(ctx, bin, "keygen", "--secret", secret); err != nil {
			return nil, err
		}
	}
	// The kernel takes longer to remove a thousand interfaces than Close waits.
	defer func() { err = errors.Join(err, end(a, b)) }()
	r = &idleResult{Transport: transport}
	for _, step := range []struct {
		from, to int
		state    *idleState
	}{{0, 1, &r.One}, {1, 1 + further, &r.All}} {
		for link := step.from; link < step.to; link++ {
			t := tunnel{transport: transport, name: fmt.Sprintf("idle%d", link), link: link, secretFile: secret}
			if err := configureTunnel(a, b, t); err != nil {
				return nil, err
			}
		}
		if *step.state, err = idle(ctx, step.to, a, b); err != nil {
			return nil, fmt.Errorf("%d idle tunnels over %s: %w\nlog:\n%s", step.to, transport, err, tail(a.Process.Log()))
		}
	}
	r.PerTunnelKB = (r.All.MemoryMB - r.One.MemoryMB) * 1024 / float64(further)
	return r, nil
}

// end kills what a failure has left running, and waits until it is gone.
func end(routers ...*topo.Warren) error {
	ctx, cancel := context.WithTimeout(context.Background(), idleWithin)
	defer cancel()
	for _, r := range routers {
		if r.Process == nil {
			continue
		}
		r.Process.Kill9()
		if err := r.Process.Wait(ctx); ctx.Err() != nil {
			return err
		}
	}
	return nil
}

// idle starts both routers afresh, waits for all their tunnels and sessions,
// leaves them idle for a while and looks at both processes.
func idle(ctx context.Context, tunnels int, a, b *topo.Warren) (idleState, error) {
	s := idleState{Tunnels: tunnels}
	began := time.Now()
	for _, r := range []*topo.Warren{a, b} {
		if err := r.Start(); err != nil {
			return s, err
		}
	}
	// To ask a thousand peers for their state is work too, for the routers that are being timed.
	poll := 200*time.Millisecond + time.Duration(tunnels)*time.Millisecond/2
	_, err := topo.Eventually(ctx, poll, idleWithin, func() error {
		err := allEstablished(ctx, tunnels, a, b)
		if s.UpS == 0 && !errors.Is(err, errTunnels) {
			s.UpS = time.Since(began).Seconds()
		}
		return err
	})
	if err != nil {
		return s, err
	}
	s.EstablishedS = time.Since(began).Seconds()
	if err := s.settle(ctx, a.Process.PID(), b.Process.PID()); err != nil {
		return s, err
	}
	if err := allEstablished(ctx, tunnels, a, b); err != nil {
		return s, fmt.Errorf("they did not stay: %w", err)
	}
	for _, r := range []*topo.Warren{a, b} {
		if err := s.look(r.Process.PID()); err != nil {
			return s, err
		}
	}
	for _, r := range []*topo.Warren{a, b} {
		if err := s.countGoroutines(ctx, r.Process); err != nil {
			return s, err
		}
	}
	return s, nil
}

// settle leaves the processes idle, and notes how much processor time that takes.
func (s *idleState) settle(ctx context.Context, pids ...int) error {
	before := make([]float64, len(pids))
	for i, pid := range pids {
		var err error
		if before[i], err = cpuSeconds(pid); err != nil {
			return err
		}
	}
	began := time.Now()
	select {
	case <-time.After(idleSettle):
	case <-ctx.Done():
		return ctx.Err()
	}
	for i, pid := range pids {
		after, err := cpuSeconds(pid)
		if err != nil {
			return err
		}
		s.CPUPercent = max(s.CPUPercent, 100*(after-before[i])/time.Since(began).Seconds())
	}
	return nil
}

// look notes what /proc tells of a process.
func (s *idleState) look(pid int) error {
	rss, err := residentBytes(pid)
	if err != nil {
		return err
	}
	threads, err := threadsOf(pid)
	if err != nil {
		return err
	}
	descriptors, err := descriptorsOf(pid)
	if err != nil {
		return err
	}
	s.MemoryMB = max(s.MemoryMB, float64(rss)/(1<<20))
	s.Threads = max(s.Threads, threads)
	s.Descriptors = max(s.Descriptors, descriptors)
	return nil
}

var goroutineHead = regexp.MustCompile(`(?m)^goroutine \d+ `)

// countGoroutines ends a process by SIGQUIT, upon which Go's runtime prints
// every goroutine: there is no other way to ask a daemon that does not offer one.
func (s *idleState) countGoroutines(ctx context.Context, p *topo.Process) error {
	p.Signal(syscall.SIGQUIT)
	if err := p.Wait(ctx); ctx.Err() != nil {
		return fmt.Errorf("goroutines: %w", err)
	}
	n := len(goroutineHead.FindAllString(p.Log(), -1))
	if n == 0 {
		return errors.New("goroutines: the daemon printed none at SIGQUIT")
	}
	s.Goroutines = max(s.Goroutines, n)
	return nil
}

// errTunnels says that tunnels are not up yet.
var errTunnels = errors.New("tunnels are not up")

// allEstablished returns nil if so many tunnels are up and their sessions
// established at each router; an error that is errTunnels if not all are up.
func allEstablished(ctx context.Context, want int, routers ...*topo.Warren) error {
	sessions := want
	for _, r := range routers {
		s, err := r.Status(ctx)
		if err != nil {
			return fmt.Errorf("%w: %w", errTunnels, err)
		}
		up, established := 0, 0
		for _, p := range s.Peers {
			if p.Tunnel.State == "up" {
				up++
				if p.BGP.State == "established" {
					established++
				}
			}
		}
		if up != want {
			return fmt.Errorf("%w: %s has %d of %d", errTunnels, r.Host.Name, up, want)
		}
		sessions = min(sessions, established)
	}
	if sessions != want {
		return fmt.Errorf("%d of %d sessions are established", sessions, want)
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
