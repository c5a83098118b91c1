package tlslink

import (
	"encoding/binary"
	"errors"
	"fmt"
	"sync/atomic"
	"time"
)

// What becomes of connections, and so of keys, that should have been replaced and could not be (renew.go): status says so, and
// before their keys have protected too much they end.

// recordCount counts the TLS records that pass. The zero value is ready to use.
type recordCount struct {
	n      atomic.Uint64
	header [5]byte // type, version, length (RFC 8446, section 5.1)
	have   int     // bytes of the header
	left   int     // bytes of the record that are still to come
}

// note takes the next bytes of the stream.
func (c *recordCount) note(p []byte) {
	for len(p) > 0 {
		if c.left > 0 {
			n := min(c.left, len(p))
			c.left, p = c.left-n, p[n:]
			continue
		}
		n := copy(c.header[c.have:], p)
		c.have, p = c.have+n, p[n:]
		if c.have == len(c.header) {
			c.have, c.left = 0, int(binary.BigEndian.Uint16(c.header[3:]))
			c.n.Add(1)
		}
	}
}

// errExhausted is why a connection ends that nothing has replaced.
var errExhausted = errors.New("the keys of the connection have protected as many records as they may, and no other connection could be made to replace it")

// endExhausted is called at each look back. It ends the connections whose keys have protected as much as they may, with lane 0 the
// session, which it reports: another one may begin, with other keys, if there is a way for it.
func (l *Link) endExhausted() (ended bool) {
	for ln := range l.session.every {
		switch {
		case ln.lost.Load() || ln.records() < l.renewal.limit:
		case ln.isVital():
			l.backoff.urgent = true
			l.endSession(errExhausted, true)
			return true
		default:
			ln.lose(errExhausted)
		}
	}
	return false
}

// isOverdue reports whether a lane should have been replaced a good while ago.
func (ln *lane) isOverdue(now time.Time) bool {
	r := &ln.s.link.renewal
	return now.Sub(ln.began) >= r.age+r.age/4 || ln.records() >= 2*r.records
}

// noteOverdue has status say, or no longer say, that connections cannot be replaced.
func (l *Link) noteOverdue(now time.Time) {
	s, text := l.session, ""
	var oldest *lane
	for _, ln := range s.lanes {
		if ln != nil && !ln.lost.Load() && ln.isOverdue(now) && (oldest == nil || ln.began.Before(oldest.began)) {
			oldest = ln
		}
	}
	if why := s.whyOverdue(); oldest != nil && why != "" {
		text = fmt.Sprintf("the keys of this tunnel are %v old, as no connection can be made to replace the one that there is: %s; "+
			"after %d million TLS records with one key the tunnel ends and is made anew",
			now.Sub(oldest.began).Truncate(time.Second), why, l.renewal.limit/1e6)
	}
	l.overdue.Store(&text)
}

// whyOverdue says why lanes were not replaced, and what is to be done; "" if nothing was tried yet.
func (s *session) whyOverdue() string {
	switch {
	case s.peer.flags&flagRenews == 0:
		return "the peer's version of Warren cannot do that; install a later one there"
	case !s.dialer:
		return "the peer, which dials, does not do it, and its status says why; do firewalls let new connections to this router's port through?"
	case s.unrenewed != nil:
		return fmt.Sprintf("%v; do firewalls let new connections to %v through?", s.unrenewed, s.remote)
	}
	return ""
}
