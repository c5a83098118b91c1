package child

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"warren/bgp"
	"warren/bgp/engine"
	"warren/bgp/heap"
	"warren/internal/speaker/wire"
)

// The descriptors that the daemon gives the process besides 0 to 2.
const (
	messagesFD    = 3
	connectionsFD = 4
)

// name is the process's in ps(1), where it would be that of the link that it was started by.
const name = "warren\x00"

// ErrNotStarted says that the process was not started by the daemon.
var ErrNotStarted = errors.New("`warren run` starts the speaker; it cannot be started by hand")

// Main is the life of the process.
func Main() error {
	// The daemon decides when the process ends. A signal that reaches all processes of a
	// service or of a terminal is for the daemon.
	signal.Ignore(syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGUSR1, syscall.SIGUSR2)
	runtime.LockOSThread() // for the signal at the daemon's death, which belongs to a thread
	_ = unix.Prctl(unix.PR_SET_NAME, uintptr(unsafe.Pointer(unsafe.StringData(name))), 0, 0, 0)
	messages, err := wire.NewStream(os.NewFile(messagesFD, "messages"))
	if err != nil {
		return ErrNotStarted
	}
	packets, err := wire.NewPackets(os.NewFile(connectionsFD, "connections"))
	if err != nil {
		return ErrNotStarted
	}
	in := wire.NewReader(messages, wire.MaxFromDaemon)
	kind, payload, err := in.Read()
	var start wire.Start
	if err == nil && kind != wire.KindStart {
		err = fmt.Errorf("the first message is of kind %d", kind)
	}
	if err == nil {
		err = wire.Decode(payload, &start)
	}
	if err != nil {
		return err
	}
	p := &process{
		messages: messages, kick: make(chan struct{}, 1), told: map[uint32]bgp.NeighborStatus{}, gcPercent: heap.SmallGrowth,
	}
	debug.SetGCPercent(p.gcPercent)
	p.numbers.Store(&map[string]number{})
	p.log = slog.New(&handler{out: os.Stderr, level: &p.level})
	p.set(start.Settings)
	_ = time.Local.String() // has the zone loaded while files can be read: times are told to people
	for _, problem := range confine(start.UID, start.GID) {
		p.log.Info("the speaker's process keeps more rights than it needs", "err", problem)
	}
	return p.run(start, in, packets)
}

// process is what the process consists of.
type process struct {
	messages net.Conn
	log      *slog.Logger
	level    slog.LevelVar
	speaker  *engine.Speaker

	// numbers has the neighbors of the last Want, by name; it is replaced, never changed.
	numbers atomic.Pointer[map[string]number]

	wanting  sync.Mutex // orders Wants and reports of routes; guards settling
	settling context.CancelFunc

	mu      sync.Mutex // guards pending; the engine's callbacks take it, also inside Want
	pending pending
	kick    chan struct{} // capacity 1: something is pending

	// The reporting goroutine's:
	told      map[uint32]bgp.NeighborStatus // what the daemon knows
	gcPercent int                           // see collect.go
}

// number is by what the daemon knows a neighbor.
type number struct {
	id, repeat uint32
	generation uint64
}

// run works until the daemon says stop. If the daemon is gone it ends the process.
func (p *process) run(start wire.Start, in *wire.Reader, packets *wire.Packets) error {
	asker := newAsker(packets, func(n *bgp.Neighbor) (uint32, bool) {
		p.wanting.Lock() // the engine may be ahead of the Want that gives the number
		defer p.wanting.Unlock()
		is, ok := (*p.numbers.Load())[n.Name]
		return is.id, ok && is.generation == n.Generation
	})
	speaker, err := engine.New(engine.Config{
		ASN: start.ASN, RouterID: start.RouterID, Logger: p.log,
		Connections: asker, OnEvent: p.event, RestartTime: start.RestartTime, Restarted: start.Restarted,
	})
	if err != nil {
		return errors.Join(err, p.send(wire.KindReady, wire.Ready{Error: err.Error()}))
	}
	p.speaker = speaker
	if err := p.send(wire.KindReady, wire.Ready{}); err != nil {
		return err
	}
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	inspection := &inspection{speaker: speaker, trusted: func(uid uint32) bool { return slices.Contains(start.Trusted, uid) }, failed: p.serving}
	go asker.run(inspection.serve)
	go p.report(ctx)
	go p.obey(in, stop)
	go heap.Rest(ctx)
	return speaker.Run(ctx)
}

// gone ends the process because the daemon is not there any more, or does not speak to it.
func gone(error) { os.Exit(1) }

// obey does what the daemon says.
func (p *process) obey(in *wire.Reader, stop func()) {
	for {
		kind, payload, err := in.Read()
		if err != nil {
			gone(err)
		}
		switch kind {
		case wire.KindWant:
			var w wire.Want
			if err := wire.Decode(payload, &w); err != nil {
				gone(err)
			}
			p.want(w)
		case wire.KindSettings:
			var s wire.Settings
			if err := wire.Decode(payload, &s); err != nil {
				gone(err)
			}
			p.set(s)
		case wire.KindStop:
			stop()
		case wire.KindAsk:
			var a wire.Ask
			if err := wire.Decode(payload, &a); err != nil {
				gone(err)
			}
			p.ask(a)
		case wire.KindPing:
			var is wire.Ping
			if err := wire.Decode(payload, &is); err != nil {
				gone(err)
			}
			p.ping(is)
		}
	}
}

func (p *process) set(s wire.Settings) {
	p.level.Set(slog.Level(s.Level))
	if s.MemoryLimit > 0 {
		debug.SetMemoryLimit(s.MemoryLimit)
	}
}

// want has the engine do what is wanted. Of a neighbor that has got another number, and whose
// session the engine keeps all the same, all routes are told again.
func (p *process) want(w wire.Want) {
	wanted := bgp.Wanted{Announced: w.Announced, Assigned: w.Assigned, Absent: w.Absent, Farewells: w.Farewells}
	if w.Protected {
		wanted.Protected = bgp.NewProtected(w.Own, w.Reserved)
	}
	numbers := make(map[string]number, len(w.Neighbors))
	for _, n := range w.Neighbors {
		wanted.Neighbors = append(wanted.Neighbors, n.Neighbor)
		numbers[n.Name] = number{n.ID, n.Repeat, n.Generation}
	}
	p.wanting.Lock()
	defer p.wanting.Unlock()
	p.speaker.Want(wanted)
	before := *p.numbers.Swap(&numbers)
	for name, is := range numbers {
		if was, ok := before[name]; ok && (was.id != is.id || was.repeat != is.repeat) {
			p.speaker.Repeat(name)
		}
	}
	if p.settling != nil {
		p.settling()
	}
	ctx, cancel := context.WithCancel(context.Background())
	p.settling = cancel
	go p.settle(ctx, w.Serial)
	go p.part(w.Serial)
}

// part reports when the sessions have ended that a Want has ended.
func (p *process) part(serial uint64) {
	p.speaker.Part(context.Background()) // which is bounded
	p.mu.Lock()
	p.pending.parted = max(p.pending.parted, serial)
	p.mu.Unlock()
	p.wake()
}

// settle reports when what is wanted was brought about, unless something else is wanted before.
func (p *process) settle(ctx context.Context, serial uint64) {
	err := p.speaker.Settle(ctx)
	if ctx.Err() != nil {
		return
	}
	s := &wire.Settled{Serial: serial}
	if err != nil {
		s.Error = err.Error()
	}
	p.mu.Lock()
	p.pending.settled = s
	p.mu.Unlock()
	p.wake()
}
