package history

import (
	"context"
	"fmt"
	"time"
)

// maxHandover bounds what one program leaves to the next one, in bytes of JSON: as much as is read of a file.
const maxHandover = maxTail

// Handover is what one program leaves of its history to the next one in the same process (execve(2)).
type Handover struct {
	Events  []Event `json:"events"`  // the last ones, the oldest first
	Next    uint64  `json:"next"`    // the number of the event to come
	Written uint64  `json:"written"` // that of the first one that is not in the file yet
}

// HandOver describes the history. Nothing is written to the file from now on until goOn is called. An error says
// that what is being written to the file was not done before ctx was.
func (l *Log) HandOver(ctx context.Context) (h Handover, goOn func(), err error) {
	if l == nil {
		return h, func() {}, nil
	}
	select {
	case l.turn <- struct{}{}:
	case <-ctx.Done():
		return h, func() {}, fmt.Errorf("history: the file is still being written: %w", ctx.Err())
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	kept, _ := l.keptLocked()
	h = Handover{Events: latest(l.datedLocked(kept), maxHandover), Next: l.next, Written: l.written}
	return h, func() { <-l.turn }, nil
}

// latest returns the last of some events whose lines are together no longer than most.
func latest(events []Event, most int) []Event {
	first := len(events)
	for ; first > 0; first-- {
		line, err := Line(events[first-1])
		if most -= len(line); err != nil || most < 0 {
			break
		}
	}
	return append([]Event{}, events[first:]...)
}

// Resume makes a Log that goes on where that of the program before was; nil: there was none, or it left nothing. What
// that had not written to the file yet is written, and the file is not read. report is as for [New].
func Resume(h *Handover, report func(error)) *Log {
	l := New(report)
	if h == nil {
		return l
	}
	for _, e := range h.Events[max(0, len(h.Events)-capacity):] {
		e.here = time.Time{} // of the process before
		l.events = append(l.events, bounded(e))
	}
	l.next = max(h.Next, uint64(len(l.events)))
	l.written = min(h.Written, l.next)
	l.resumed = true
	return l
}
