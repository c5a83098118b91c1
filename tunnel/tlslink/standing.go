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

const (
	fullRounds  = 3                     // without growth, which is what bbr's startup waits for too
	fullFlight  = 16                    // segments on the way that are no full path if they are fewer
	shortRound  = 20 * time.Millisecond // a round trip, or that
	leastQueue  = 4 * time.Millisecond  // in the path
	heldPercent = 90                    // of the rate that the path has
	heldFor     = time.Second

	// fastPath is the rate, in bytes a second, of paths whose queues are short in time, and where what this machine's processors
	// take looks like one.
	fastPath = 200e6 / 8

	firstRest, lastRest = time.Second, 32 * time.Second // until the next time, longer and longer where the queue did not go
)

// path is what the kernel knows of the path of a connection at a time.
type path struct {
	delivered           uint64 // bytes, those included that came out of order
	flight              int    // segments on the way
	roundTrip, deviance time.Duration
	shortest            time.Duration // round trip
}

// queue returns for how long packets stand in a queue on the path, all of them.
func (p *path) queue() time.Duration { return p.roundTrip - 2*p.deviance - p.shortest }

// isFull reports whether that is more than the path needs to be busy.
func (p *path) isFull() bool {
	return p.flight >= fullFlight && p.queue() > max(p.shortest/4, leastQueue)
}

// standing follows the queue on the path of a connection.
type standing struct {
	began     time.Duration // of the round; 0: there is none yet
	delivered uint64        // at that time
	best      float64       // bytes a second, of rounds so far
	full      int           // rounds without growth, with a queue
	since     time.Duration // when the first of these began
	from      uint64        // delivered at that time

	held  time.Duration // until when the rate is held; 0: it is not
	rest  time.Duration // after the next queue that does not go
	again time.Duration // not before
}

// look is told what is known now, and returns the rate in bytes a second at which the connection is to be held from now on,
// 0 for no bound. changed is false if it stays as it was.
func (s *standing) look(now time.Duration, p path) (rate uint64, changed bool) {
	if s.held > 0 {
		gone := p.roundTrip < p.shortest+leastQueue
		if !gone && now < s.held {
			return 0, false
		}
		rest := firstRest // in which bbr finds out what the path takes
		if !gone {
			rest = max(s.rest, firstRest)
		}
		next := standing{again: now + rest}
		if !gone {
			next.rest = min(2*rest, lastRest)
		}
		*s = next
		return 0, true
	}
	if s.began == 0 || now < s.again {
		s.began, s.delivered, s.full = now, p.delivered, 0
		return 0, false
	}
	took := now - s.began
	if took < max(p.roundTrip, shortRound) {
		return 0, false
	}
	if brought := float64(p.delivered-s.delivered) / took.Seconds(); brought >= s.best*1.25 || !p.isFull() {
		s.best, s.full = max(s.best, brought), 0
	} else {
		if s.full == 0 {
			s.since, s.from = s.began, s.delivered
		}
		s.full++
	}
	s.began, s.delivered = now, p.delivered
	if s.full < fullRounds {
		return 0, false
	}
	path := float64(p.delivered-s.from) / (now - s.since).Seconds()
	if path == 0 || path > fastPath {
		s.full = 0
		return 0, false
	}
	s.held = now + heldFor
	return uint64(path * heldPercent / 100), true
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
			}
		}
		return err
	})
	return p, err == nil
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
