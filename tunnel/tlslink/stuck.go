package tlslink

import (
	"net"
	"net/netip"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// clampSegments bounds the segments of a socket that is not connected yet, and those that
// the far end sends to it; 0 leaves them to the kernel.
func clampSegments(c syscall.RawConn, size int) error {
	if size == 0 {
		return nil
	}
	var opErr error
	err := c.Control(func(fd uintptr) {
		opErr = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_MAXSEG, size)
	})
	if err == nil && opErr != nil {
		err = &net.OpError{Op: "set", Net: "tcp", Err: opErr}
	}
	return err
}

// handshook takes note of what came of a handshake, and of how long it took, on a connection
// that was dialed with segments of a size.
func (l *Link) handshook(addr netip.Addr, size int, took time.Duration, err error) {
	now := l.e.cfg.Now()
	if err != nil {
		if gotNoAnswer(err, took) {
			l.segments.timedOut(now, addr, size)
		}
		return
	}
	switch l.segments.cameUp(now, addr, size) {
	case largeVanish:
		l.log.Warn("large packets vanish on the way to the peer or back, and no ICMP error says so: TCP segments are clamped",
			"remote", addr, "bytes", size)
	case largePass:
		l.log.Info("large packets reach the peer again: TCP segments are not clamped any more", "remote", addr)
	}
}

// gotNoAnswer reports whether a handshake failed as it does where large packets vanish: the
// listening end, which waits as long as this one, may be the first that gives up.
func gotNoAnswer(err error, took time.Duration) bool {
	return isTimeout(err) || isHangUp(err) && took >= handshakeTimeout*3/4
}

// flow is what the kernel knows of a connection that tells whether its large packets vanish.
type flow struct {
	repeats  int           // of the oldest segment, each after a longer pause
	unacked  int           // bytes that were sent and not acknowledged
	acked    uint64        // bytes that were acknowledged so far
	lastAck  time.Duration // since the far end last acknowledged anything
	lastData time.Duration // since it last sent any
}

const (
	// manyRepeats, with pauses of at least 0.2, 0.4 and 0.8 s, is no loss of the usual kind.
	manyRepeats = 3
	// largeFlight is more than keepalives come to in the time for which a tunnel waits for them.
	largeFlight = 1200
)

// stall is a connection whose oldest segment is sent again and again.
type stall struct {
	since time.Time // when that was seen first; zero: it is not
	told  bool      // that large packets vanish
}

// vanishes reports, once, whether what this end sends is lost though the far end is heard
// since: its large packets, as far as can be told.
func (s *stall) vanishes(now time.Time, f flow) bool {
	switch {
	case f.repeats == 0:
		s.since = time.Time{}
	case s.since.IsZero():
		s.since = now
	case !s.told && f.repeats >= manyRepeats && f.unacked >= largeFlight && f.lastData < now.Sub(s.since):
		s.told = true
		return true
	}
	return false
}

// isMute reports whether the far end, which has been silent for deadAfter, acknowledges what
// it is sent: then what it sends is lost, and its large packets first of all.
func (f flow) isMute(keepalive, deadAfter time.Duration) bool {
	return f.unacked == 0 && f.lastAck < 2*keepalive && f.lastData >= deadAfter-keepalive
}

// flow returns it; ok is false if the kernel does not say, or for what is no TCP socket.
func (w *wire) flow() (f flow, ok bool) {
	if w.raw == nil {
		return flow{}, false
	}
	err := w.raw.Control(func(fd uintptr) {
		info, err := unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO)
		if err != nil {
			return
		}
		queued, err := unix.IoctlGetInt(int(fd), unix.SIOCOUTQ)
		if err != nil {
			return
		}
		millis := func(ms uint32) time.Duration { return time.Duration(ms) * time.Millisecond }
		f = flow{
			repeats: int(info.Retransmits), unacked: max(0, queued-int(info.Notsent_bytes)), acked: info.Bytes_acked,
			lastAck: millis(info.Last_ack_recv), lastData: millis(info.Last_data_recv),
		}
		ok = true
	})
	return f, ok && err == nil
}

// sign returns what the kernel has received, and how many bytes the peer has acknowledged; ok is
// false if it does not say, or for what is no TCP socket.
func (w *wire) sign() (s sign, acked uint64, ok bool) {
	if w.raw == nil {
		return sign{}, 0, false
	}
	err := w.raw.Control(func(fd uintptr) {
		info, err := unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO)
		if err != nil {
			return
		}
		unread, err := unix.IoctlGetInt(int(fd), unix.SIOCINQ)
		if err != nil {
			return
		}
		s = sign{silence: time.Duration(info.Last_data_recv) * time.Millisecond, early: info.Rcv_ooopack, unread: unread}
		acked, ok = info.Bytes_acked, true
	})
	return s, acked, ok && err == nil
}

// lacksLarge reports whether the first packet of what the far end sends is missing, and later
// ones are there.
func (w *wire) lacksLarge() (lacks bool) {
	if w.raw == nil {
		return false
	}
	_ = w.raw.Control(func(fd uintptr) {
		info, err := unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO)
		lacks = err == nil && info.Bytes_received == 0 && info.Rcv_ooopack > 0
	})
	return lacks
}

// watchSegments looks at each tick whether large packets of a connection that this end
// dialed vanish, so that the next ones have small segments: the handshake said nothing of
// it if the path became another since, or if the packets are larger than the handshake's.
func (l *Link) watchSegments(now time.Time) {
	s := l.session
	if !s.dialer {
		return
	}
	for _, ln := range s.lanes {
		if ln == nil || ln.lost.Load() {
			continue
		}
		if f, ok := ln.wire.flow(); ok && ln.stall.vanishes(now, f) {
			l.noteStuck(now, ln)
		}
	}
}

// watchEnd does the same where the peer has been silent for too long.
func (l *Link) watchEnd(now time.Time) {
	s := l.session
	if ln := s.lanes[0]; s.dialer && !ln.stall.told {
		if f, ok := ln.wire.flow(); ok && f.isMute(l.cfg.Keepalive, l.cfg.DeadAfter) {
			l.noteStuck(now, ln)
		}
	}
}

func (l *Link) noteStuck(now time.Time, ln *lane) {
	remote := ln.wire.remote().Addr()
	l.segments.stuck(now, remote, ln.wire.clamp)
	l.log.Debug("large packets seem to vanish: the next connections have small segments", "remote", remote, "lane", ln.number)
}
