package history

import (
	"context"
	"slices"
	"sync"
	"time"
)

// capacity is how many events are kept in memory.
const capacity = 4096

// File says where events are kept on disk.
type File struct {
	Path    string // absolute; "": nowhere
	MaxSize int64  // bytes that the file and the one before it may take together
}

// Log is a history. Its methods may be called from any goroutine; a nil Log keeps nothing.
type Log struct {
	report  func(error)
	resumed bool          // events were handed over
	turn    chan struct{} // of capacity 1: full while the file is read or written, or the history is being handed over

	mu      sync.Mutex // guards what follows
	date    func(time.Time) time.Time
	events  []Event // the last capacity of them count
	next    uint64  // the number of the event to come; that of the last in events is one less
	written uint64  // the number of the first that Run has not written yet
	file    File
	changed chan struct{} // closed, and replaced, when events or file change
}

// New makes a Log without a file. report is called by Run when the file could not be written, and with
// nil when it can be again; it must not block.
func New(report func(error)) *Log {
	return &Log{report: report, turn: make(chan struct{}, 1), date: asItIs, next: capacity, written: capacity, changed: make(chan struct{})}
}

// Add adds an event, which happens now unless it has a time.
func (l *Log) Add(e Event) {
	if l == nil {
		return
	}
	if e.Time.IsZero() {
		e.Time = At(time.Now())
	}
	e = bounded(e)
	e.here = time.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.events) >= 2*capacity {
		l.events = append(make([]Event, 0, 2*capacity), l.events[capacity+1:]...)
	}
	l.events = append(l.events, e)
	l.next++
	l.changedLocked()
}

// SetDate has the times of events be by the clock as it is set when they are asked for. date returns the date of a time that
// time.Now returned (boottime.Clock.DateNow). A router without a clock of its own begins with an old date. What is in the file
// already stays as it is there, and so does what another process has left.
func (l *Log) SetDate(date func(time.Time) time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.date = date
}

func asItIs(t time.Time) time.Time { return t }

// SetFile has the events from now on, and those that are not written yet, go to another file.
func (l *Log) SetFile(f File) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.file == f {
		return
	}
	l.file = f
	l.changedLocked()
}

func (l *Log) changedLocked() {
	close(l.changed)
	l.changed = make(chan struct{})
}

// Query says which events are asked for.
type Query struct {
	Peer  string    // "": of all peers, and of none
	Since time.Time // when it happened, see happened
	From  uint64    // the number of the first that counts; 0: all
	Last  int       // no more than that many, the last ones; 0: all
}

// Select returns events, the oldest first, and the number that the next one will have, for
// Query.From. changed is closed when it is worth asking again.
func (l *Log) Select(q Query) (events []Event, next uint64, changed <-chan struct{}) {
	if l == nil {
		return nil, 0, nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	kept, first := l.keptLocked()
	kept = l.datedLocked(kept)
	at := happened(kept, time.Now())
	for i, e := range kept {
		if first+uint64(i) >= q.From && (q.Peer == "" || e.Peer == q.Peer) && !at[i].Before(q.Since) {
			events = append(events, e)
		}
	}
	if q.Last > 0 && len(events) > q.Last {
		events = events[len(events)-q.Last:]
	}
	return events, l.next, l.changed
}

// ahead is how far the time of an event may lie in the future.
const ahead = time.Minute

// happened returns when events happened at the latest, which are in the order in which they did. That is their time, unless
// it lies in the future, as the clock was ahead and was set back since: then that of the next one whose time does not.
func happened(events []Event, now time.Time) []time.Time {
	at := make([]time.Time, len(events))
	next := now
	for i, e := range slices.Backward(events) {
		if !e.Time.After(now.Add(ahead)) {
			next = e.Time.Time
		}
		at[i] = next
	}
	return at
}

// keptLocked returns the events that count and the number of the first.
func (l *Log) keptLocked() ([]Event, uint64) {
	kept := l.events[max(0, len(l.events)-capacity):]
	return kept, l.next - uint64(len(kept))
}

// datedLocked returns events with their times by the clock as it is set now.
func (l *Log) datedLocked(events []Event) []Event {
	all := make([]Event, len(events))
	for i, e := range events {
		all[i] = e.dated(l.date)
	}
	return all
}

// recall puts what an earlier process has left before everything else.
func (l *Log) recall(earlier []Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	kept, _ := l.keptLocked()
	room := capacity - len(kept)
	earlier = earlier[max(0, len(earlier)-room):]
	l.events = append(append(make([]Event, 0, len(earlier)+len(kept)), earlier...), kept...)
	l.changedLocked()
}

// Pauses after the file could not be written.
const (
	minRetry = time.Second
	maxRetry = 30 * time.Second
)

// Run writes events to the file until ctx is done, and then those that are left. Call it once.
func (l *Log) Run(ctx context.Context) error {
	w := writer{}
	defer w.close()
	l.readEarlier()
	for pause := time.Duration(0); ; {
		last := ctx.Err() != nil
		changed, err := l.writeNew(&w)
		switch {
		case err == nil:
			pause = 0
		case pause == 0:
			pause = minRetry
		default:
			pause = min(2*pause, maxRetry)
		}
		l.report(err)
		if last {
			return nil
		}
		if pause > 0 { // not more often because events come
			changed = nil
		}
		sleep(ctx, pause, changed) // if ctx is done, what is left is written once more
	}
}

// sleep waits for the end of a pause, or, where there is none, for changed, or for ctx.
func sleep(ctx context.Context, pause time.Duration, changed <-chan struct{}) {
	var over <-chan time.Time
	if pause > 0 {
		t := time.NewTimer(pause)
		defer t.Stop()
		over = t.C
	}
	select {
	case <-ctx.Done():
	case <-changed:
	case <-over:
	}
}

// readEarlier takes what an earlier process has left in the file, unless the history was handed over.
func (l *Log) readEarlier() {
	l.turn <- struct{}{}
	defer func() { <-l.turn }()
	l.mu.Lock()
	file := l.file
	l.mu.Unlock()
	if l.resumed || file.Path == "" {
		return
	}
	earlier, err := readFile(file.Path)
	l.recall(earlier)
	if err != nil {
		l.report(err)
	}
}

// writeNew writes what is not in the file yet. changed is closed when there is more.
func (l *Log) writeNew(w *writer) (changed <-chan struct{}, err error) {
	l.turn <- struct{}{}
	defer func() { <-l.turn }()
	file, batch, from, changed := l.unwritten()
	done, err := w.write(file, batch)
	if done > 0 {
		l.mu.Lock()
		l.written = from + uint64(done)
		l.mu.Unlock()
	}
	return changed, err
}

// unwritten returns where to write the events that are not in the file yet, the number of the first, and them. In the place of
// those that are not in memory any more is one that says how many they are.
func (l *Log) unwritten() (f File, batch []Event, from uint64, changed <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	kept, first := l.keptLocked()
	from = l.written
	if from < first {
		lost := Event{Time: At(time.Now()), Kind: Lost, Count: first - from}
		if len(kept) > 0 {
			lost.Time = kept[0].Time
		}
		batch = append(batch, lost)
		from = first
	}
	batch = append(batch, l.datedLocked(kept[from-first:])...)
	return l.file, batch, l.next - uint64(len(batch)), l.changed
}
