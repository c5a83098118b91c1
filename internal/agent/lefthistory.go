package agent

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"warren/internal/history"
)

// What the next daemon is left of what has happened to this one (`warren restart`): the history, and how often
// tunnels and sessions went down.

// leftFlaps are those of a tunnel and of the BGP session over it.
type leftFlaps struct {
	Tunnel  leftResets `json:"tunnel"`
	Session leftResets `json:"session"`
}

// leftResets are resets in JSON.
type leftResets struct {
	Count int       `json:"count"`
	Last  time.Time `json:"last,omitzero"` // zero: never
	Cause string    `json:"cause"`
}

func (r resets) leave(date func(time.Time) time.Time) leftResets {
	return leftResets{r.count, date(r.last), r.cause}
}

func (r leftResets) take() resets { return resets{r.Count, r.Last, r.Cause} }

// leaveHistory has n have both. The history is written to its file again when goOn is called.
func (l *loop) leaveHistory(ctx context.Context, n *left) (goOn func(), err error) {
	h, goOn, err := l.history.HandOver(ctx)
	if err == nil {
		n.History, err = json.Marshal(h)
	}
	if err == nil {
		n.Flaps, err = json.Marshal(l.m.flaps(l.date))
	}
	if err != nil {
		goOn()
		return func() {}, fmt.Errorf("leave the history: %w", err)
	}
	return goOn, nil
}

// flaps are those of all attachments that have some, by name. date is that of a time for another process.
func (m *machine) flaps(date func(time.Time) time.Time) map[string]leftFlaps {
	all := map[string]leftFlaps{}
	m.all(func(a *attachment) {
		if a.resets.count+a.sessions.count > 0 {
			all[a.name] = leftFlaps{a.resets.leave(date), a.sessions.leave(date)}
		}
	})
	return all
}

// takeFlaps has attachments go on from what was left of those of their names.
func (l *loop) takeFlaps(state json.RawMessage) {
	var all map[string]leftFlaps
	if state == nil {
		return
	}
	if err := json.Unmarshal(state, &all); err != nil {
		l.log.Warn("restart: flaps are counted from now on, as what was left of them is not understood", "err", err)
		return
	}
	l.m.all(func(a *attachment) {
		if f, ok := all[a.name]; ok {
			a.resets, a.sessions = f.Tunnel.take(), f.Session.take()
		}
	})
}

// takeHistory makes the history, which goes on where that of the daemon before was.
func (a *Agent) takeHistory(report func(error)) *history.Log {
	if a.left == nil || a.left.History == nil {
		return history.New(report)
	}
	var h history.Handover
	if err := json.Unmarshal(a.left.History, &h); err != nil {
		a.log.Warn("restart: the history begins with this daemon, as what was left of it is not understood", "err", err)
		return history.New(report)
	}
	return history.Resume(&h, report)
}

// startEvent is what the history has of the start.
func (a *Agent) startEvent() history.Event {
	cause := "warren has started, version " + a.opts.Version
	if a.left != nil {
		cause = "warren was replaced by `warren restart`, version " + a.opts.Version
	}
	return history.Event{Kind: history.Restart, Cause: cause}
}
