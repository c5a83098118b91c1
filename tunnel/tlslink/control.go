package tlslink

import (
	"encoding/binary"
	"errors"
	"time"
)

// What a session sends on lane 0 that is not data.

// goodbyeTimeout bounds how long the end of a session waits for the peer to have
// read why.
const goodbyeTimeout = 500 * time.Millisecond

// speak begins to ping, unless it has. At the far end the session has begun, and ends if nothing comes for dead_after. What
// this end does before it receives may take longer than that, as where the kernel's lock of interfaces and routes (rtnl) is held.
func (s *session) speak() {
	if s.speaking {
		return
	}
	s.speaking = true
	s.lanes[0].wire.SetDeadline(time.Time{}) // that of the hello
	s.readers.Go(s.sendControl)
	s.ping()
}

func (s *session) ping() { s.enqueue(pingFrame()) }

// enqueue sends a frame that is not data, or drops it if many wait already.
func (s *session) enqueue(frame []byte) {
	select {
	case s.control <- frame:
	default:
	}
}

// sendControl is the goroutine that sends them, and a ping each keepalive. Receivers must not: two ends that
// answer each other before they read on can block each other.
func (s *session) sendControl() {
	pings := time.NewTicker(s.link.cfg.Keepalive)
	defer pings.Stop()
	for {
		var frame []byte
		select {
		case <-s.done:
			return
		case <-pings.C:
			frame = pingFrame()
		case frame = <-s.control:
		}
		ln, err := s.sendFirst(frame)
		if errors.Is(err, errMoved) && s.parting.Load() {
			continue
		}
		if err != nil {
			s.sendFailed(err)
			return
		}
		if frame[0] == frameClose {
			ln.conn.CloseWrite()
			return
		}
	}
}

// sendFirst sends on lane 0, whichever that is by the time.
func (s *session) sendFirst(frame []byte) (*lane, error) {
	for {
		ln := s.first.Load()
		err := ln.send(frame)
		if err == nil || ln == s.first.Load() {
			return ln, err
		}
	}
}

// pong takes the answer to a ping.
func (s *session) pong(payload []byte) {
	sent := time.Duration(binary.BigEndian.Uint64(payload))
	if rtt := monotonic() - sent; sent > 0 && rtt > 0 && rtt < time.Hour {
		s.answered.Store(int64(sent))
		s.link.report.Measured(rtt)
	}
}

// sayGoodbye tells the peer why the session ends, and waits until it has hung up,
// for a moment at most: closing with unread input would take the words back.
func (s *session) sayGoodbye(reason string) {
	select {
	case <-s.done:
		return
	case s.control <- encode(frameClose, []byte(reason[:min(len(reason), maxText)])):
	default:
		return
	}
	select {
	case <-s.done:
	case <-time.After(goodbyeTimeout):
	}
}
