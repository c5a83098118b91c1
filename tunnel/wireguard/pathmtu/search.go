package pathmtu

import "time"

// Sizes of packets in the tunnel, in bytes.
const (
	// Small is that of the probe that passes every path.
	Small = 128
	// Base is what IPv6 demands of every link (RFC 8200, section 5): an interface with less
	// has no IPv6.
	Base = 1280
	// Floor is the least that a tunnel is clamped to: what passes in a packet of 576 bytes
	// (RFC 791), without the outer headers of IPv4, UDP and WireGuard.
	Floor = 576 - 20 - 8 - 32
)

const (
	// grace is what a long probe may take longer than the short one behind it.
	grace = 250 * time.Millisecond
	// answerTime is what any probe may take, on a path with a queue of seconds too.
	answerTime = 5 * time.Second
	// pause is between two rounds of the same size.
	pause = 200 * time.Millisecond

	manyLost = 5 // rounds, after which a size is given up that was in use
	lost     = 3 // the same of a size that is only tried

	confirmBusy = 15 * time.Second // while large packets are sent
	confirmIdle = 2 * time.Minute
	raiseEvery  = 10 * time.Minute

	muteRounds  = 3 // without any answer, after which the peer is left alone for some time
	muteRetry   = time.Second
	muteRest    = time.Minute      // for a peer that has answered before
	muteForGood = 10 * time.Minute // for one that has not

	restartPause = 5 * time.Second // between two restarts
)

// phase is what the rounds are for.
type phase int

const (
	rest   phase = iota // until the size in use is confirmed, or a larger one tried
	begin               // the largest: the path is another
	check               // the size in use
	raise               // one byte more than that
	search              // between low and high
)

// Search is the search on one path. It is not safe for concurrent use. The times given to it
// should not run backwards.
type Search struct {
	largest int // of the tunnel, as far as this machine itself sends it whole
	limit   int

	phase     phase
	low, high int // the first passes, the second does not, or is one more than the largest
	candidate int
	lost      int // rounds in a row that lost the candidate

	began   time.Time // of the round under way; zero: none is
	small   time.Time // when its short probe was answered
	next    time.Time // of the next round; zero: not before Restart
	mute    int       // rounds in a row without any answer
	answers bool      // the peer has answered once

	restarted time.Time // or will be
	confirmed time.Time // when the limit was last
	raiseAt   time.Time
	busy      bool // large packets were sent since the limit was confirmed
}

// New returns a search that has found nothing to vanish: largest is the longest packet of
// the tunnel, in bytes, at least Base.
func New(largest int) *Search { return &Search{largest: largest, limit: largest} }

// SetLargest changes which packet of the tunnel is the longest, in bytes, at least Base. A limit that was as large follows at
// once, and is looked at if it grows.
func (s *Search) SetLargest(now time.Time, n int) {
	was := s.largest
	if n == was {
		return
	}
	s.largest = n
	if s.limit == was || s.limit > n {
		s.limit = n
	}
	if !s.next.IsZero() || !s.began.IsZero() { // it was not stopped
		s.Restart(now)
	}
}

// Largest returns the longest packet of the tunnel, in bytes.
func (s *Search) Largest() int { return s.largest }

// Limit returns the longest packet that may be sent, in bytes, from Floor to the largest. It
// changes when a search is done and not before: senders remember for minutes the least that
// they were told (RFC 1191, section 6.3).
func (s *Search) Limit() int { return s.limit }

// Settled reports whether the limit is what the last search has found.
func (s *Search) Settled() bool { return s.phase != search && s.phase != begin }

// Confirmed returns when the limit was confirmed last; zero is never.
func (s *Search) Confirmed() time.Time { return s.confirmed }

// Restart begins again, because the path may be another. The limit stays until more is known.
func (s *Search) Restart(now time.Time) {
	s.try(begin, s.largest)
	s.began, s.mute = time.Time{}, 0
	if !s.restarted.After(now) { // else it is about to
		earliest := s.restarted.Add(restartPause)
		if s.restarted.IsZero() || earliest.Before(now) {
			earliest = now
		}
		s.restarted = earliest
	}
	s.next = s.restarted
}

// Stop ends the probes, until Restart.
func (s *Search) Stop() { s.began, s.next = time.Time{}, time.Time{} }

// Busy says that large packets are being sent.
func (s *Search) Busy() {
	s.busy = true
	if s.phase == rest && s.mute == 0 && !s.next.IsZero() {
		s.plan()
	}
}

// Due returns when Tick has to be called; zero is never.
func (s *Search) Due() time.Time {
	switch {
	case s.began.IsZero():
		return s.next
	case s.small.IsZero():
		return s.began.Add(answerTime)
	}
	return s.small.Add(max(grace, s.small.Sub(s.began)))
}

// Tick returns the sizes of the probes that are to be sent now, in order.
func (s *Search) Tick(now time.Time) []int {
	if due := s.Due(); due.IsZero() || now.Before(due) {
		return nil
	}
	if !s.began.IsZero() {
		s.unanswered(now)
		if s.next.IsZero() || now.Before(s.next) {
			return nil
		}
	}
	if s.phase == rest {
		if s.limit < s.largest && !now.Before(s.raiseAt) {
			s.try(raise, s.limit+1)
		} else {
			s.try(check, s.limit)
		}
	}
	s.began, s.small, s.next = now, time.Time{}, time.Time{}
	return []int{s.candidate, Small}
}

// Answered takes the answer to a probe of a size.
func (s *Search) Answered(now time.Time, size int) {
	s.answers = true
	if s.began.IsZero() {
		return
	}
	switch size {
	case s.candidate:
		s.began, s.lost, s.mute = time.Time{}, 0, 0
		s.passed(now)
	case Small:
		if s.mute = 0; s.small.IsZero() {
			s.small = now
		}
	}
}

// try has the next rounds be about a size.
func (s *Search) try(p phase, size int) { s.phase, s.candidate, s.lost = p, size, 0 }

// passed is called when the candidate has.
func (s *Search) passed(now time.Time) {
	switch {
	case s.candidate == s.largest:
		s.settle(now, s.largest)
	case s.phase == check:
		s.settle(now, s.limit)
	case s.phase == raise:
		s.low, s.high = s.candidate, s.largest+1
		s.try(search, s.largest)
		s.next = now
	default:
		s.low = s.candidate
		s.narrow(now)
	}
}

// unanswered ends a round in which the candidate was not answered.
func (s *Search) unanswered(now time.Time) {
	heard := !s.small.IsZero()
	s.began = time.Time{}
	if !heard {
		s.silent(now)
		return
	}
	s.lost++
	enough := lost
	if s.candidate <= s.limit && s.phase != search {
		enough = manyLost
	}
	if s.lost < enough {
		s.next = now.Add(pause)
		return
	}
	switch s.phase {
	case raise:
		s.settle(now, s.limit)
	case search:
		s.high = s.candidate
		s.narrow(now)
	default:
		s.low, s.high = Small, s.candidate
		s.narrow(now)
	}
}

// silent is called after a round without any answer.
func (s *Search) silent(now time.Time) {
	if s.mute++; s.mute < muteRounds {
		s.next = now.Add(muteRetry)
		return
	}
	s.lost = 0
	if s.next = now.Add(muteForGood); s.answers {
		s.next = now.Add(muteRest)
	}
}

// narrow chooses the next size between low and high.
func (s *Search) narrow(now time.Time) {
	switch {
	case s.high-s.low <= 1:
		s.settle(now, s.low)
		return
	case s.low == Small && s.high > Base:
		s.try(search, Base)
	default:
		s.try(search, (s.low+s.high)/2)
	}
	s.next = now
}

// settle ends a search or a check.
func (s *Search) settle(now time.Time, limit int) {
	if s.phase != check {
		s.raiseAt = now.Add(raiseEvery)
	}
	s.limit, s.phase, s.confirmed, s.busy = max(limit, Floor), rest, now, false
	s.plan()
}

// plan sets when the limit is confirmed, or a larger one tried.
func (s *Search) plan() {
	s.next = s.confirmed.Add(confirmIdle)
	if s.busy {
		s.next = s.confirmed.Add(confirmBusy)
	}
	if s.limit < s.largest && s.raiseAt.Before(s.next) {
		s.next = s.raiseAt
	}
}
