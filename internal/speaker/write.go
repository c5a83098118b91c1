package speaker

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"syscall"
	"time"

	"warren/bgp"
	"warren/internal/access"
	"warren/internal/speaker/wire"
)

const (
	// settingsInterval is how long a change of the log's level takes at most.
	settingsInterval = time.Second
	// writeTime bounds how long the process may not read. It may be busy, or the machine.
	writeTime = time.Minute
	// pingInterval is how often the process is asked whether it works, and pingsLost how many such questions in a
	// row one that works does not leave without an answer. They are counted, and no time is taken: where this
	// process had no processor it has asked less often, too.
	pingInterval = 10 * time.Second
	pingsLost    = 12
)

// sent is what the process was sent.
type sent struct {
	started  bool
	serial   uint64 // of the last Want
	settings wire.Settings
	listener uint32
	asked    uint32
}

// write sends what the process has to know, each time as it is then, until the process ends.
func (p *process) write(ctx context.Context) error {
	tick, ping := time.NewTicker(settingsInterval), time.NewTicker(p.s.cfg.pingInterval)
	defer tick.Stop()
	defer ping.Stop()
	var sent sent
	stop := ctx.Done()
	for {
		if err := p.update(&sent); err != nil {
			return err
		}
		select {
		case <-p.kick:
		case <-tick.C:
		case <-ping.C:
			if err := p.ping(); err != nil {
				return err
			}
		case <-stop:
			stop = nil
			if err := p.send(wire.KindStop, nil); err != nil {
				return err
			}
		case <-p.ended.Done():
			return nil
		}
	}
}

// ping asks the process whether it works, unless it has left too many such questions without an answer.
func (p *process) ping() error {
	if p.pinged.Load()-p.ponged.Load() >= pingsLost {
		return broken("it has not answered for %v: it hangs, or was stopped by a signal", pingsLost*p.s.cfg.pingInterval)
	}
	return p.send(wire.KindPing, wire.Ping{Number: p.pinged.Add(1)})
}

// takePong takes the answer.
func (p *process) takePong(is wire.Ping) error {
	if is.Number > p.pinged.Load() {
		return errors.New("an answer without a question")
	}
	p.ponged.Store(is.Number)
	return nil
}

// update sends what is another than was sent.
func (p *process) update(sent *sent) error {
	settings := p.s.settings()
	if !sent.started {
		uid, gid := unprivileged()
		long, restarted := p.s.restart(time.Now())
		start := wire.Start{
			ASN: p.s.cfg.ASN, RouterID: p.s.cfg.RouterID, UID: uid, GID: gid,
			RestartTime: long, Restarted: restarted,
			Trusted: access.TrustedUsers(), Settings: settings,
		}
		if err := p.send(wire.KindStart, start); err != nil {
			return err
		}
		sent.started, sent.settings = true, settings
	}
	if settings != sent.settings {
		if err := p.send(wire.KindSettings, settings); err != nil {
			return err
		}
		sent.settings = settings
	}
	p.s.mu.Lock()
	serial, listener, asked := p.s.wanted.serial, p.s.listener, p.s.asked
	var want wire.Want
	if serial != sent.serial {
		want = p.s.wantLocked()
	}
	p.s.mu.Unlock()
	if serial != sent.serial {
		if err := p.send(wire.KindWant, want); err != nil {
			return err
		}
		p.keepListeners()
		sent.serial = serial
	}
	if asked.number != sent.asked && asked.process == p {
		if err := p.send(wire.KindAsk, wire.Ask{Call: asked.number, Question: asked.question}); err != nil {
			return err
		}
		sent.asked = asked.number
	}
	if listener.number != sent.listener {
		err := p.sendSocket(wire.Answer{Listener: listener.number}, listener.conn)
		if err != nil && p.s.listens(listener.number) {
			return err
		}
		sent.listener = listener.number
	}
	return nil
}

// wantLocked is what is wanted, for the process.
func (s *Speaker) wantLocked() wire.Want {
	w := wire.Want{Serial: s.wanted.serial, Announced: s.wanted.announced, Assigned: s.wanted.assigned, Absent: s.wanted.absent, Farewells: s.wanted.farewells}
	if s.wanted.protected != nil {
		w.Protected = true
		w.Own, w.Reserved = s.wanted.protected.Prefixes()
	}
	for _, n := range s.wanted.neighbors {
		if o := s.table.wanted[n.Name]; o != nil {
			w.Neighbors = append(w.Neighbors, wire.Neighbor{ID: o.id, Repeat: o.repeat, Neighbor: n})
		}
	}
	return w
}

// keepListeners closes the listeners on networks that no neighbor is wanted for any more.
func (p *process) keepListeners() {
	if err := p.pool.Keep(p.s.neighborsOnLANs); err != nil {
		p.s.log.Warn("BGP: a listener that is not wanted any more cannot be closed", slog.Any("err", err))
	}
}

// neighborsOnLANs are the neighbors that are wanted on networks with others.
func (s *Speaker) neighborsOnLANs() (on []bgp.Neighbor) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, n := range s.wanted.neighbors {
		if n.LAN() {
			on = append(on, n)
		}
	}
	return on
}

// settings are those of now.
func (s *Speaker) settings() wire.Settings {
	is := wire.Settings{Level: int(slog.LevelError), MemoryLimit: memoryLimit(s.limitsNow().memoryMax)}
	for _, level := range []slog.Level{slog.LevelDebug, slog.LevelInfo, slog.LevelWarn} {
		if s.log.Enabled(context.Background(), level) {
			is.Level = int(level)
			break
		}
	}
	return is
}

func (p *process) send(k wire.Kind, v any) error {
	b, err := wire.Append(nil, k, v)
	if err != nil {
		return err
	}
	p.messages.SetWriteDeadline(time.Now().Add(writeTime))
	if _, err = p.messages.Write(b); errors.Is(err, os.ErrDeadlineExceeded) {
		return broken("it has not read for %v", writeTime)
	}
	return err
}

// sendSocket sends an answer, with a descriptor unless that is nil.
func (p *process) sendSocket(a wire.Answer, with syscall.Conn) error {
	err := p.packets.Send(a, with)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return broken("it does not take the sockets that are opened for it: %w", err)
	}
	return err
}

// listens reports whether the listener with a number is still that of the gobgp command.
func (s *Speaker) listens(number uint32) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.listener.number == number
}
