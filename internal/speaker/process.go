package speaker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"runtime"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
	"golang.org/x/time/rate"

	"warren/bgp/heap"
	"warren/bgp/sockets"
	"warren/internal/speaker/wire"
)

const (
	firstPause   = 200 * time.Millisecond
	longestPause = 30 * time.Second
	steadyAfter  = time.Minute // of work, after which the pause is the first one again
	// stopTime is how long the process may take to end its sessions.
	stopTime = 4 * time.Second
	// outputTime is how long what the process has said at its end is read, where something else still has its output.
	outputTime = 5 * time.Second
	// expireInterval is how often stale routes are looked at.
	expireInterval = 200 * time.Millisecond
)

// Run keeps a process running until ctx is done, and then has it end its sessions with a Cease.
func (s *Speaker) Run(ctx context.Context) error {
	// The kernel ends the process when the thread ends that has started it (prctl(2),
	// PR_SET_PDEATHSIG).
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var expiring sync.WaitGroup
	defer expiring.Wait()
	expiring.Go(func() { s.expireLoop(ctx) })
	pause, last := firstPause, ""
	for {
		if !s.holding(ctx) {
			return nil
		}
		began := time.Now()
		err := s.runProcess(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if s.isHeld() {
			continue
		}
		if time.Since(began) >= steadyAfter {
			pause, last = firstPause, ""
		}
		// What ends one process after the other is told once, and counted in status.
		level := slog.LevelError
		if err.Error() == last {
			level = slog.LevelDebug
		}
		last = err.Error()
		s.died(last, level)
		s.log.Log(ctx, level, "the speaker has ended and is started again; tunnels stay up, and routes for a while",
			slog.Any("err", err), slog.Duration("pause", pause), slog.Duration("restart_time", s.limitsNow().restartTime))
		select {
		case <-time.After(pause):
		case <-s.held:
		case <-ctx.Done():
			return nil
		}
		pause = min(2*pause, longestPause)
	}
}

// expireLoop drops stale routes in time, has the heap grow as fits the table, and has the system get the
// memory back that a large table has left behind.
func (s *Speaker) expireLoop(ctx context.Context) {
	tick := time.NewTicker(expireInterval)
	defer tick.Stop()
	var peak heap.Peak
	releaser := heap.Releaser{Gentle: true}
	var releasing sync.WaitGroup
	defer releasing.Wait()
	growth := heap.SmallGrowth
	debug.SetGCPercent(growth)
	releasing.Go(func() { heap.Rest(ctx) })
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		s.mu.Lock()
		s.table.expire(time.Now())
		if s.table.changed.Len() > 0 {
			s.notifyLocked()
		}
		prefixes := s.table.routes.Len()
		s.mu.Unlock()
		if is := heap.Growth(growth, prefixes); is != growth {
			growth = is
			debug.SetGCPercent(growth)
		}
		if peak.Shrunk(prefixes) {
			releasing.Go(func() { releaser.Release(ctx) })
		}
	}
}

// process is one process of the speaker.
type process struct {
	s        *Speaker
	pid      int
	messages net.Conn
	packets  *wire.Packets
	output   *os.File // its descriptor 2
	memory   *os.File // /proc/PID/statm
	kick     chan struct{}

	ended context.Context // done when it is to end
	end   context.CancelCauseFunc
	calls calls
	pool  *sockets.Pool // listeners of neighbors on networks with others

	events  *rate.Limiter // of events that it tells of
	flooded bool          // some were left out; read's

	// pinged is how often it was asked whether it works, and ponged which of these questions it has answered last.
	pinged, ponged atomic.Uint32
}

// wake has what is not sent yet be sent. There may be no process.
func (p *process) wake() {
	if p == nil {
		return
	}
	select {
	case p.kick <- struct{}{}:
	default:
	}
}

// errStopped ends a process that was told to stop and has not.
var errStopped = broken("it does not stop")

// runProcess runs one process until it ends, and returns why.
func (s *Speaker) runProcess(ctx context.Context) error {
	p, running, err := s.start()
	if err != nil {
		return fmt.Errorf("it cannot be started: %w", err)
	}
	var work sync.WaitGroup
	crash := &crash{log: s.log, known: s.Status().LastError}
	for _, part := range []func() error{
		p.read, func() error { return p.write(ctx) }, p.open, p.watchMemory,
	} {
		work.Go(func() {
			if err := part(); err != nil {
				p.end(err)
			}
		})
	}
	work.Go(func() { crash.read(p.output) })
	stopping := context.AfterFunc(ctx, func() { time.AfterFunc(stopTime, func() { p.end(errStopped) }) })
	defer stopping()
	killing := context.AfterFunc(p.ended, func() { _ = running.Kill() }) // fails if it has ended
	defer killing()

	s.mu.Lock()
	s.process = p
	held := s.hold != nil
	s.mu.Unlock()
	if held {
		p.end(errHandedOver)
	}
	p.wake()
	p.killGroup()
	state, err := running.Wait()
	asked := context.Cause(p.ended)
	p.end(errors.New("it has ended"))
	p.close()
	_ = p.output.SetReadDeadline(time.Now().Add(outputTime))
	work.Wait()
	_ = p.pool.Close() // the descriptors are gone in any case
	s.mu.Lock()
	s.process = nil
	s.mu.Unlock()
	if err != nil {
		return err
	}
	return p.cause(state, asked, crash)
}

// killGroup waits for the process's end and kills what it has started and left behind in its process group, whose
// number nothing else can have until Wait. One that was taken over can have moved them to another group: nothing
// here may wait for the descriptors that they have.
func (p *process) killGroup() {
	for errors.Is(unix.Waitid(unix.P_PID, p.pid, nil, unix.WEXITED|unix.WNOWAIT, nil), unix.EINTR) {
	}
	_ = unix.Kill(-p.pid, unix.SIGKILL)
}

func (p *process) close() {
	p.messages.Close()
	_ = p.packets.Close()
	p.memory.Close()
}
