package tlslink

import (
	"crypto/tls"
	"errors"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"warren/tunnel"
)

// epoch is what monotonic times in this package count from.
var epoch = time.Now()

func monotonic() time.Duration { return time.Since(epoch) }

// heard is when something came last, by a clock that goes on while the machine sleeps. It
// may be used from any goroutine.
type heard struct {
	now func() time.Time
	at  atomic.Int64 // since epoch
}

func (h *heard) note() { h.at.Store(int64(h.now().Sub(epoch))) }

func (h *heard) ago() time.Duration { return h.now().Sub(epoch) - time.Duration(h.at.Load()) }

// session is a tunnel while it is up: lane 0 and, under load, others, each of which is
// replaced now and then (renew.go). Its timers and lanes belong to the goroutine of Link.Run; fail may be called by any. The
// methods that Run's loop selects on work on a nil session.
//
// Liveness (liveness.go): every keepalive a ping goes out, whatever the goroutine of Link.Run is busy with, and whatever
// arrives, on any lane and be it part of a frame, is a sign of life. A ping may be stuck behind data; that
// does no harm, since it is what arrives that counts.
type session struct {
	link   *Link
	id     [16]byte
	dialer bool            // this end dialed
	which  int             // of the remotes it was dialed by, from 0; -1: the peer dialed
	local  tunnel.Identity // of this end, as it said in its hello
	peer   hello
	remote netip.AddrPort
	began  time.Time
	there  time.Time // since when it is with that remote
	lanes  [MaxLanes]*lane
	first  atomic.Pointer[lane] // lane 0, for any goroutine

	joining  [MaxLanes]*lane // that are to replace those in lanes
	draining []*lane         // that were replaced
	renewing [MaxLanes]bool  // those whose replacement is being dialed, by replaceLane or takeFirst, whichever has set it

	speaking bool          // pings go out
	looks    *time.Ticker  // back
	looked   time.Duration // when the last look was that did anything (monotonic)
	death    *time.Timer
	control  chan []byte // frames for lane 0 that are not data, nor the pings of each keepalive
	heard    heard       // the last sign of life
	alive    liveness
	answered atomic.Int64 // when the ping was sent that was answered last (monotonic)
	doubts   chan string  // capacity 1: the way to the peer is another

	parting atomic.Bool // one of the ends is being restarted: nothing more is sent (pause.go)

	once    sync.Once
	done    chan struct{} // closed by the first fail
	err     error         // set before done is closed
	readers sync.WaitGroup

	laneDials  int           // lanes that are being dialed
	spread     bool          // the device's queues have lanes of their own, as far as there are any
	widening   widening      // after some could not be
	stalledAt  time.Duration // when lane 0 was found to be stalled last; 0: never
	unreplaced time.Time     // when it was logged last that a lane could not be replaced
	unrenewed  error         // why a lane could not be replaced when that was tried last; nil: it could
	load       load          // of the link, at the last tick
	asked      atomic.Bool   // whether the peer asks for further lanes
	loses      atomic.Bool   // packets, while it carried something

	marked [MaxLanes]atomic.Pointer[lane] // that have sent a mark last (outlook.go), by number

	known   string         // the server name of the secret that was the first when the session began
	invited tunnel.Invited // of the secret with which the session began
	told    bool           // the peer was told the one that replaces an invitation's
	learned atomic.Bool    // the peer has told it
	met     *credential    // for which MeetingOver was told; nil: none

	replaced time.Time // since when a secret that was replaced is in use; zero: none is

	renewAsked atomic.Uint32 // the lanes, as bits, that the peer asks to be replaced
}

func newSession(l *Link, conn *tls.Conn, w *wire, peer hello, dialer bool) *session {
	now := time.Now()
	s := &session{
		link: l, id: peer.session, dialer: dialer, local: w.proof.local, peer: peer,
		which:   -1,
		remote:  w.remote(),
		began:   now,
		there:   now,
		control: make(chan []byte, 8),
		heard:   heard{now: l.e.cfg.Now},
		alive:   liveness{keepalive: l.cfg.Keepalive, deadAfter: l.cfg.DeadAfter},
		doubts:  make(chan string, 1),
		done:    make(chan struct{}),
	}
	s.lanes[0] = newLane(s, 0, conn, w)
	s.first.Store(s.lanes[0])
	return s
}

// dialed is the remote by which this end dialed the session, as in [LinkConfig]; "": the peer did.
func (s *session) dialed() string {
	if s.which < 0 {
		return ""
	}
	return s.link.cfg.Remotes[s.which]
}

// isHome reports whether the session is with the first of the remotes.
func (s *session) isHome() bool { return s.which == 0 }

// start begins to receive. It follows speak.
func (s *session) start() {
	s.heard.note()
	s.looks = time.NewTicker(s.link.lookEvery())
	s.death = time.NewTimer(s.link.cfg.DeadAfter)
	s.startLane(s.lanes[0])
}

func (s *session) startLane(ln *lane) {
	giveUp := time.Duration(0) // lane 0 has the timer of checkAlive
	if ln.number > 0 {
		giveUp = s.link.giveUpAfter()
	}
	ln.wire.established(&s.heard, giveUp)
	old := s.lanes[ln.number]
	ln.wire.startUnsent(old, s.lanes[0])
	if old != nil && old != ln {
		ln.pace.takeOver(old, ln.wire.rate)
	}
	ln.follow()
	s.readers.Go(func() {
		err := ln.receive()
		close(ln.ended)
		switch {
		case ln.restarting, s.parting.Load(): // all that was on its way has come
		case errors.Is(err, errDone):
			ln.finish()
		case ln.isVital():
			s.fail(err)
		default:
			ln.lose(err)
		}
	})
	go s.link.congest(ln.wire) // which may wait for a module of the kernel; nobody waits for it
}

// fail ends the session. The first reason stays.
func (s *session) fail(err error) {
	s.once.Do(func() {
		s.err = err
		close(s.done)
	})
}

// sendFailed ends the session, as sending on lane 0 has failed. A peer that has hung up may have said why before, which the one that
// receives finds, if it is given the time: its word is worth more.
func (s *session) sendFailed(err error) {
	if errors.Is(err, errReset) {
		select {
		case <-s.done:
		case <-time.After(goodbyeTimeout):
		}
	}
	s.fail(err)
}

func (s *session) over() <-chan struct{} {
	if s == nil {
		return nil
	}
	return s.done
}

func (s *session) ticks() <-chan time.Time {
	if s == nil {
		return nil
	}
	return s.looks.C
}

func (s *session) deadline() <-chan time.Time {
	if s == nil {
		return nil
	}
	return s.death.C
}

// reason is for after over.
func (s *session) reason() error { return s.err }

// checkAlive is called when the peer may have been silent for too long, and ends the session
// if it was, which it reports by false. After a sleep the kernel can't say how long that is.
func (s *session) checkAlive(slept bool) bool {
	e := s.evidence()
	if slept {
		e.signs = nil
	}
	again, err := s.alive.look(e)
	if err != nil {
		s.fail(err)
		return false
	}
	s.death.Reset(again)
	return true
}

// evidence collects what is known of the peer. While a lane is being replaced all that comes may come by the connection that is to
// replace it, or that was replaced.
func (s *session) evidence() evidence {
	e := evidence{now: monotonic(), silence: s.heard.ago(), answered: time.Duration(s.answered.Load())}
	for ln := range s.every {
		if ln.lost.Load() {
			continue
		}
		sign, acked, ok := ln.wire.sign()
		if ln.waiting.Load() {
			sign.unread = 0 // it is not to be read yet
		}
		if ok {
			e.signs = append(e.signs, sign)
		}
		if ln == s.lanes[0] {
			e.acked = acked
		}
	}
	return e
}

// every yields all connections of the session: those that there are, those that are to replace them, and those that were replaced.
func (s *session) every(yield func(*lane) bool) {
	for _, lanes := range [][]*lane{s.lanes[:], s.joining[:], s.draining} {
		for _, ln := range lanes {
			if ln != nil && !yield(ln) {
				return
			}
		}
	}
}

// isSending reports whether packets are being sent, be it that they wait for the path.
func (s *session) isSending() bool {
	for _, ln := range s.lanes {
		if ln != nil && ln.queues.Load() > 0 {
			return true
		}
	}
	return false
}

// doubt has the peer prove that it is reached by the way that there is now.
func (s *session) doubt(why string) {
	s.alive.question(s.evidence(), why)
	s.ping()
	s.checkAlive(false)
}

func (s *session) doubtful() <-chan string {
	if s == nil {
		return nil
	}
	return s.doubts
}

// close takes the session down and waits for its goroutines.
func (s *session) close() {
	s.fail(errors.New("closed"))
	s.looks.Stop()
	s.death.Stop()
	for ln := range s.every {
		ln.wire.Close()
	}
	s.readers.Wait()
}
