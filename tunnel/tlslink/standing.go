package tlslink

import (
	"time"

	"golang.org/x/sys/unix"
)

// What a tunnel sends comes at the rate at which TCP inside gets its acknowledgments, which is that of the path. So all that is too
// much may wait in the path's queue and nothing here, where flows would be served fairly, and every ping behind it. bbr does
// not see that: it leaves out times in which there was nothing to send (tcp_rate_check_app_limited in Linux' net/ipv4/tcp_rate.c),
// keeps the highest rate that it has seen before these, and lets three times the path's window out as long as it has
// not seen the path full (bbr_check_full_bw_reached).
//
// So where packets stand in a queue on the path, and the path brings no more for that, the connection's rate is held below what the
// path takes until the queue is gone. Then what is too much waits here, and TCP inside hears of it. A queue that others
// keep full does not go, and is left alone for longer each time.
//
// A queue that is too short to stand is seen by what it drops: bbr, which does not notice that either, sends into it with three times
// the path's rate for seconds, and of what it sends a tenth gets lost, or half. What a path loses by itself is less, and nothing waits
// there. Once the rate is held the connection always has something to send, and bbr sees in three rounds that the path is full.

const (
	fullRounds  = 3                     // without growth, which is what bbr's startup waits for too
	fullFlight  = 16                    // segments on the way that are no full path if they are fewer
	shortRound  = 20 * time.Millisecond // a round trip, or that
	leastQueue  = 4 * time.Millisecond  // in the path
	heldPercent = 90                    // of the rate that the path has
	heldFor     = time.Second
	heldRounds  = 8 // if these are longer

	// fastPath is the rate, in bytes a second, of paths whose queues are short in time, and where what this machine's processors
	// take looks like one.
	fastPath = 200e6 / 8

	// A queue overflows if that many bytes are sent again in a round, and such a part of all, and packets have waited for such a part of
	// the shortest round trip. With the larger part it does however short the queue is.
	leastOverflow   = 8 * 1448
	overflowPercent = 6
	overflowQueue   = 16 // one of so many parts
	floodPercent    = 15

	firstRest, lastRest = time.Second, 32 * time.Second // until the next time, longer and longer where the queue did not go
)

// path is what the kernel knows of the path of a connection at a time.
type path struct {
	delivered           uint64 // bytes, those included that came out of order
	flight              int    // segments on the way
	roundTrip, deviance time.Duration
	shortest            time.Duration // round trip
	lost                uint64        // bytes that were sent again, and not in vain, as far as is known
	startup             bool          // bbr has not seen the path full
}

// queue returns for how long packets stand in a queue on the path, all of them.
func (p *path) queue() time.Duration { return p.roundTrip - 2*p.deviance - p.shortest }

// isFull reports whether that is more than the path needs to be busy.
func (p *path) isFull() bool {
	return p.flight >= fullFlight && p.queue() > max(p.shortest/4, leastQueue)
}

// overflows reports whether the path's queue did, when so much was brought and got lost in a round.
func (p *path) overflows(brought, lost uint64) bool {
	percent := lost * 100 / (brought + lost + 1)
	waited := p.roundTrip-p.shortest > p.shortest/overflowQueue
	return p.startup && lost >= leastOverflow && (percent >= floodPercent || percent >= overflowPercent && waited)
}

// standing follows the queue on the path of a connection.
type standing struct {
	began      time.Duration // of the round; 0: there is none yet
	delivered  uint64        // at that time
	best       float64       // bytes a second, of rounds so far
	full       int           // rounds without growth, with a queue
	since      time.Duration // when the first of these began
	from       uint64        // delivered at that time
	lost       uint64        // when the round began
	overflowed int           // rounds without growth in which the queue overflowed

	leaves bool          // startup, while the rate is held
	held   time.Duration // until when the rate is held; 0: it is not
	rest   time.Duration // after the next queue that does not go
	again  time.Duration // not before
}

// look is told what is known now, and returns the rate in bytes a second at which the connection is to be held from now on,
// 0 for no bound. changed is false if it stays as it was.
func (s *standing) look(now time.Duration, p path) (rate uint64, changed bool) {
	if s.held > 0 {
		return 0, s.release(now, p)
	}
	if s.began == 0 || now < s.again {
		s.begin(now, p)
		s.full, s.overflowed = 0, 0
		return 0, false
	}
	took := now - s.began
	if took < max(p.roundTrip, shortRound) {
		return 0, false
	}
	brought := float64(p.delivered-s.delivered) / took.Seconds()
	grew := brought >= s.best*1.25
	if grew || !p.isFull() {
		s.full = 0
	} else {
		if s.full == 0 {
			s.since, s.from = s.began, s.delivered
		}
		s.full++
	}
	switch {
	case grew:
		s.overflowed = 0
	case p.overflows(p.delivered-s.delivered, p.lost-min(s.lost, p.lost)):
		s.overflowed++
	}
	if grew || s.full == 0 {
		s.best = max(s.best, brought)
	}
	s.begin(now, p)
	takes := s.best // of the path
	switch {
	case s.full >= fullRounds:
		takes = float64(p.delivered-s.from) / (now - s.since).Seconds()
	case s.overflowed < fullRounds:
		return 0, false
	}
	if takes == 0 || takes > fastPath {
		s.full, s.overflowed = 0, 0
		return 0, false
	}
	s.leaves = s.full < fullRounds
	s.held = now + max(heldFor, heldRounds*p.roundTrip)
	return uint64(takes * heldPercent / 100), true
}

// release ends that the rate is held, if it is time, and reports whether it is.
func (s *standing) release(now time.Duration, p path) bool {
	done := p.roundTrip < p.shortest+leastQueue
	if s.leaves {
		done = !p.startup
	}
	if !done && now < s.held {
		return false
	}
	next := standing{again: now + firstRest} // in which bbr finds out what the path takes
	if !done {
		rest := max(s.rest, firstRest)
		next = standing{again: now + rest, rest: min(2*rest, lastRest)}
	}
	*s = next
	return true
}

// begin begins a round.
func (s *standing) begin(now time.Duration, p path) {
	s.began, s.delivered, s.lost = now, p.delivered, p.lost
}

// followQueue looks at the queue on the lane's path. It is for who has the lane's lock.
func (ln *lane) followQueue(now time.Duration) {
	p, ok := ln.wire.path()
	if !ok {
		return
	}
	if rate, changed := ln.pace.standing.look(now, p); changed {
		ln.wire.holdRate(rate)
	}
}

// path returns it; ok is false if the kernel does not say, and for what does not use bbr: others bound what they send by losses.
func (w *wire) path() (p path, ok bool) {
	if w.raw == nil || w.congestion() != BestCongestion {
		return p, false
	}
	micros := func(us uint32) time.Duration { return time.Duration(us) * time.Microsecond }
	err := setsockopt(w.raw, func(fd int) error {
		info, err := unix.GetsockoptTCPInfo(fd, unix.IPPROTO_TCP, unix.TCP_INFO)
		if err == nil {
			p = path{
				delivered: uint64(info.Delivered) * uint64(info.Snd_mss), flight: int(info.Unacked),
				roundTrip: micros(info.Rtt), deviance: micros(info.Rttvar), shortest: micros(info.Min_rtt),
				lost: uint64(info.Total_retrans-min(info.Dsack_dups, info.Total_retrans)) * uint64(info.Snd_mss),
			}
			p.startup = isStartup(fd)
		}
		return err
	})
	return p, err == nil
}

// startupGain is the least of bbr's pacing gains in startup, 2.89, and more than of those after it, 1.25, in 256ths (bbr_high_gain in Linux'
// net/ipv4/tcp_bbr.c).
const startupGain = 2 * 256

// isStartup reports whether a connection with bbr has not seen its path full.
func isStartup(fd int) bool {
	info, err := unix.GetsockoptTCPCCBBRInfo(fd, unix.IPPROTO_TCP, unix.TCP_CC_INFO)
	return err == nil && info.Pacing_gain >= startupGain
}

// holdRate bounds the rate at which the kernel sends, in bytes a second; 0 is no bound.
func (w *wire) holdRate(rate uint64) {
	if rate == 0 || rate > 1<<31 {
		rate = 1<<32 - 1
	}
	_ = setsockopt(w.raw, func(fd int) error {
		return unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_MAX_PACING_RATE, int(int32(uint32(rate))))
	})
}
