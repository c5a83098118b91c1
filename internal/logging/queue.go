package logging

import (
	"io"
	"sync"
	"time"
)

// What the queue holds at most. A quiet daemon writes some lines a minute; a
// thousand peers that come up write a few thousand in a second.
const (
	maxLines = 8192
	maxBytes = 1 << 20
)

// queue writes lines from a goroutine of its own, so that put never waits for
// the writer. Its methods may be called from any goroutine.
type queue struct {
	w      io.Writer
	lines  int                      // bound
	notice func(lost uint64) []byte // the line that tells of lost ones

	mu      sync.Mutex
	waiting []line
	bytes   int           // in waiting
	lost    uint64        // dropped since the last line that was taken in
	closed  bool          // nothing is taken in any more
	signal  chan struct{} // capacity 1: something is waiting, or closed is set
	done    chan struct{} // closed when the goroutine has ended
}

// line is one line with its line break.
type line struct {
	text []byte
	lost uint64 // how many were dropped before it
	// written is nil, or closed when all before it is written; then there is no text.
	written chan<- struct{}
}

func newQueue(w io.Writer, lines int, notice func(uint64) []byte) *queue {
	q := &queue{w: w, lines: lines, notice: notice, signal: make(chan struct{}, 1), done: make(chan struct{})}
	go q.work()
	return q
}

// put takes a line in, or drops it. The queue owns text from now on.
func (q *queue) put(text []byte) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return
	}
	if len(q.waiting) >= q.lines || q.bytes+len(text) > maxBytes {
		q.lost++
		return
	}
	q.waiting = append(q.waiting, line{text: text, lost: q.lost})
	q.bytes += len(text)
	q.lost = 0
	q.wake()
}

func (q *queue) wake() {
	select {
	case q.signal <- struct{}{}:
	default:
	}
}

// close takes nothing in any more, and waits until everything is written or the
// time is over. It reports whether everything was.
func (q *queue) close(within time.Duration) bool {
	q.mu.Lock()
	q.closed = true
	q.wake()
	q.mu.Unlock()
	timer := time.NewTimer(within)
	defer timer.Stop()
	select {
	case <-q.done:
		return true
	case <-timer.C:
		return false
	}
}

// flush waits until everything is written that was taken in, or the time is over. It reports whether
// everything was.
func (q *queue) flush(within time.Duration) bool {
	written := make(chan struct{})
	q.mu.Lock()
	q.waiting = append(q.waiting, line{written: written})
	q.wake()
	q.mu.Unlock()
	timer := time.NewTimer(within)
	defer timer.Stop()
	select {
	case <-written:
		return true
	case <-q.done:
		return true
	case <-timer.C:
		return false
	}
}

// work writes until the queue is closed and empty.
func (q *queue) work() {
	defer close(q.done)
	out := writer{w: q.w, notice: q.notice}
	for {
		l, more := q.take()
		switch {
		case l.written != nil:
			close(l.written)
		case l.text != nil:
			out.write(l)
		case l.lost > 0:
			out.lost += l.lost
			out.tell()
		case more:
			<-q.signal
		default:
			return
		}
	}
}

// take returns the next line. Where none waits it returns how many were dropped
// after the last one, if any were, and else whether some may come.
func (q *queue) take() (l line, more bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.waiting) == 0 {
		q.waiting = nil // what a full queue took is given back
		l.lost, q.lost = q.lost, 0
		return l, !q.closed
	}
	l = q.waiting[0]
	q.waiting[0].text = nil
	q.waiting = q.waiting[1:]
	q.bytes -= len(l.text)
	return l, true
}

// writer writes lines whole. One that fails is lost like one for which there was
// no room: the reader is gone, or a disk is full, and either may be over when
// the next line comes.
type writer struct {
	w      io.Writer
	notice func(uint64) []byte
	lost   uint64 // not told yet
	torn   bool   // the last line was written in part
}

func (w *writer) write(l line) {
	w.lost += l.lost
	w.tell()
	if !w.put(l.text) {
		w.lost++
	}
}

// tell writes how many lines were lost, if any were.
func (w *writer) tell() {
	if w.lost > 0 && w.put(w.notice(w.lost)) {
		w.lost = 0
	}
}

func (w *writer) put(text []byte) bool {
	if w.torn {
		text = append([]byte("\n"), text...)
	}
	n, err := w.w.Write(text)
	if n > 0 {
		w.torn = n < len(text)
	}
	return err == nil
}
