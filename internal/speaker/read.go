package speaker

import (
	"errors"
	"log/slog"
	"slices"
	"time"

	"warren/bgp"
	"warren/internal/speaker/wire"
)

// maxText bounds what the process says in words, in bytes, and maxErrors what it could not bring
// about.
const (
	maxText   = 4 << 10
	maxErrors = 64 << 10
)

// read takes what the process tells, until it ends.
func (p *process) read() error {
	in := wire.NewReader(p.messages, wire.MaxFromSpeaker)
	for ready := false; ; {
		kind, payload, err := in.Read()
		switch {
		case isEnd(err):
			return err
		case err != nil:
			return broken("it says what cannot be: %w", err)
		}
		if !ready {
			if err := p.readReady(kind, payload); err != nil {
				return err
			}
			ready = true
			continue
		}
		if err := p.take(kind, payload); err != nil {
			return broken("it says what cannot be: %w", err)
		}
	}
}

func (p *process) readReady(kind wire.Kind, payload []byte) error {
	var is wire.Ready
	if kind != wire.KindReady {
		return broken("its first message is of kind %d", kind)
	}
	if err := wire.Decode(payload, &is); err != nil {
		return broken("it says what cannot be: %w", err)
	}
	if is.Error != "" {
		return broken("%s", short(is.Error))
	}
	p.s.mu.Lock()
	restarts, level := p.s.restarts, min(p.s.told, slog.LevelInfo)
	p.s.mu.Unlock()
	if restarts > 0 {
		p.s.log.Log(p.ended, level, "the speaker works again", slog.Int("pid", p.pid))
	}
	return nil
}

// take takes one message. It checks all of it.
func (p *process) take(kind wire.Kind, payload []byte) error {
	switch kind {
	case wire.KindRoutes:
		return p.takeRoutes(payload)
	case wire.KindNeighbors:
		return decode(payload, p.takeNeighbors)
	case wire.KindSettled:
		return decode(payload, func(is wire.Settled) error {
			p.s.settle(settled{is.Serial, is.Error[:min(len(is.Error), maxErrors)]})
			return nil
		})
	case wire.KindParted:
		return decode(payload, func(is wire.Parted) error {
			p.s.part(is.Serial)
			return nil
		})
	case wire.KindEvent:
		return decode(payload, p.takeEvent)
	case wire.KindServing:
		return decode(payload, p.takeServing)
	case wire.KindExplained:
		return decode(payload, p.takeExplained)
	case wire.KindPong:
		return decode(payload, p.takePong)
	}
	return errors.New("a message of a kind that is not known")
}

func decode[T any](payload []byte, take func(T) error) error {
	var v T
	if err := wire.Decode(payload, &v); err != nil {
		return err
	}
	return take(v)
}

func (p *process) takeRoutes(payload []byte) error {
	now := time.Now()
	p.s.mu.Lock()
	defer p.s.mu.Unlock()
	defer p.s.notifyLocked()
	t, r := p.s.table, wire.ReadRoutes(payload)
	resolved := []told{{}} // by number of the set; 0 is the one without ways
	defer func() {
		for _, is := range resolved {
			t.forget(is)
		}
	}()
	for r.More() {
		set, prefix, err := r.Next()
		if err == nil && set == len(resolved) {
			var is told
			if is, err = t.resolve(r.Ways(set)); err == nil {
				resolved = append(resolved, is)
			}
		}
		if err == nil {
			err = t.set(resolved[set], prefix, now)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// states are those of NeighborStatus.
var states = []string{"idle", "connect", "active", "opensent", "openconfirm", stateEstablished}

func (p *process) takeNeighbors(m wire.Neighbors) error {
	now := time.Now()
	for i := range m.Changed {
		st := &m.Changed[i].NeighborStatus
		if !slices.Contains(states, st.State) {
			return errStatus
		}
		if err := checkStatus(st); err != nil {
			return err
		}
	}
	p.s.mu.Lock()
	defer p.s.mu.Unlock()
	for _, c := range m.Changed {
		p.s.table.setStatus(c.ID, c.NeighborStatus, now)
	}
	p.s.notifyLocked()
	return nil
}

func (p *process) takeEvent(e wire.Event) error {
	if e.Kind != bgp.SessionUp && e.Kind != bgp.SessionDown {
		return errors.New("an event that there is not")
	}
	e.Time, e.Lasted = recent(e.Time, time.Now()), max(e.Lasted, 0)
	p.s.mu.Lock()
	name := ""
	if o := p.s.table.owners[e.ID]; o != nil { // else it is not wanted any more
		name = o.neighbor.Name
		o.up = time.Time{}
		if e.Kind == bgp.SessionUp {
			o.up = e.Time
		}
	}
	p.s.mu.Unlock()
	switch {
	case name == "":
	case !p.events.Allow():
		if !p.flooded {
			p.flooded = true
			p.s.log.Warn("the speaker tells of more events of sessions than the history can have: some are left out")
		}
	default:
		p.s.cfg.OnEvent(bgp.Event{Kind: e.Kind, Time: e.Time, Neighbor: name, Cause: short(e.Cause), Lasted: e.Lasted})
	}
	return nil
}

func (p *process) takeServing(is wire.Serving) error {
	p.s.mu.Lock()
	defer p.s.mu.Unlock()
	if l := p.s.listener; l.number == is.Listener && l.conn != nil {
		select {
		case l.failed <- short(is.Error):
		default:
		}
	}
	return nil
}

func short(text string) string { return text[:min(len(text), maxText)] }
