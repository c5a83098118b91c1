package auto

import (
	"net/netip"
	"time"
)

// Handover is what a link leaves to the next program in the same process, beside what its transports do. Durations, in ns, are
// those at that moment.
type Handover struct {
	Carries Transport     `json:"carries"`
	Why     string        `json:"why"`
	Pause   time.Duration `json:"pause"` // see history

	// What a program may lack that is older.
	Carried time.Duration `json:"carried,omitempty"` // since Carries was chosen
	Well    time.Duration `json:"well,omitempty"`    // since when WireGuard works, see chosen; 0: it does not
	Trial   *HandedTrial  `json:"trial,omitempty"`   // nil: there was none
	At      netip.Addr    `json:"at,omitzero"`       // where WireGuard was last, which Pause and Trial are about; not valid: not known
}

// HandedTrial is TLS that is tried because losses bound what WireGuard carries, or was, see trial.
type HandedTrial struct {
	Before float64       `json:"before,omitempty"` // in bytes a second; 0: none is under way, nor has TLS been shown to carry more
	Loss   float64       `json:"loss,omitempty"`   // 0 to 1
	Gains  bool          `json:"gains,omitempty"`
	Again  time.Duration `json:"again,omitempty"` // for how long no other one is begun
	Rest   time.Duration `json:"rest,omitempty"`
}

// HandOver returns what the choice goes on with. It may be called from any goroutine.
func (l *Link) HandOver() *Handover {
	c := l.status.get().chosen
	return c.handOver(time.Now())
}

func (c *chosen) handOver(now time.Time) *Handover {
	h := &Handover{Carries: c.carries, Why: c.why, Pause: c.pause, Carried: now.Sub(c.since), At: c.at}
	if !c.well.IsZero() {
		h.Well = now.Sub(c.well)
	}
	if t := c.trial; t != (trial{}) {
		h.Trial = &HandedTrial{Before: t.before, Loss: t.loss, Gains: t.gains, Rest: t.rest, Again: max(0, t.again.Sub(now))}
	}
	return h
}

// takeUp has a new choice go on with that. What was counted begins again, so that a trial that was under way is not judged by what was
// sent before the restart and during it.
func (c *choice) takeUp(now time.Time, h *Handover) {
	c.began = true
	c.carries, c.why, c.since = h.Carries, h.Why, now.Add(-max(0, h.Carried))
	c.at, c.pause = h.At, h.Pause
	if h.Well > 0 {
		c.well = now.Add(-h.Well)
	}
	if t := h.Trial; t != nil {
		c.trial = trial{before: t.Before, loss: t.Loss, gains: t.Gains, rest: t.Rest, again: now.Add(t.Again)}
	}
}

// resume takes note of the transports that were up in the program before, all at once: one after the other they would seem to come
// up, and the first would carry for a while.
func (l *Link) resume(now time.Time, news []any) {
	f := &l.facts
	l.resumes, l.heardAt = false, [2]time.Time{now, now}
	for _, n := range news {
		if h, ok := n.(happened); ok && h.ev.Up {
			if f.up[h.of] = true; h.of == TLS {
				f.reports, f.hears = h.ev.Beside, true
			}
		}
	}
}
