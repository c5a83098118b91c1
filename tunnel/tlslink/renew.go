package tlslink

import (
	"context"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"slices"
	"time"

	"warren/tunnel"
)

// renewal says when a lane's connection, and with it its keys, is replaced by another.
// crypto/tls never updates keys (RFC 8446, section 4.6.3).
type renewal struct {
	age     time.Duration // at most; each lane takes between three quarters and all of it
	records uint64        // in either direction
	limit   uint64        // of records in either direction: the connection ends, replaced or not
}

// Keys are replaced within the hour, with some minutes left to try again, and long
// before the 2^24.5 full records that AES-GCM is good for (RFC 8446, section 5.5). Where no connection can be
// made that would replace one, this one ends before that, with what may be sent from one look to the next left.
var defaultRenewal = renewal{age: 55 * time.Minute, records: 1 << 22, limit: 1 << 24}

// drainTimeout bounds how long a lane that was replaced is kept for what is on its way,
// as long as the peer acknowledges what is sent.
const drainTimeout = 5 * time.Minute

// renewPause is which part of the greatest age a lane has at least when the peer has it
// replaced.
const renewPause = 256

// maxDraining is how many lanes that were replaced may be waited for; an end of this
// version has no more than one for each number.
const maxDraining = 2 * MaxLanes

// errMoved is what a send on a lane that was replaced returns: nothing was sent.
var errMoved = errors.New("another connection has taken over")

// errDone ends the receiving on a lane whose other end has moved to another.
var errDone = errors.New("nothing more comes")

// plan sets when a lane is old.
func (r *renewal) plan(now time.Time) time.Time {
	return now.Add(r.age - rand.N(r.age/4+1))
}

// isOld reports whether a lane should be replaced.
func (ln *lane) isOld(now time.Time) bool {
	return !now.Before(ln.renewAt) || ln.records() >= ln.s.link.renewal.records
}

// records is how many the keys of a connection have protected, in the direction with more of them.
func (ln *lane) records() uint64 { return max(ln.sent.Load(), ln.wire.arrived.n.Load()) }

// renew is called at each tick and replaces the lanes that are old, or, at the end that
// does not dial, asks the peer to. An older listening end does not know how to replace
// lane 0, and loses what is on the way of others; an older dialing end can't be asked.
func (l *Link) renew(ctx context.Context) {
	s, now := l.session, l.e.cfg.Now()
	s.draining = keepOpen(now, s.draining)
	asked := s.renewAsked.Swap(0)
	able := s.peer.flags&flagRenews != 0
	for n, ln := range s.lanes {
		if ln == nil || s.renewing[n] || s.isDraining(n) || !able && (n == 0 || !s.dialer) || now.Before(ln.nextTry) {
			continue
		}
		// A peer that asks all the time is not obeyed all the time.
		wanted := asked&(1<<n) != 0 && now.Sub(ln.began) >= l.renewal.age/renewPause
		trial := able && s.dialer && l.segments.isDue(now, s.remote.Addr(), ln.wire.clamp)
		if !wanted && !ln.isOld(now) && !trial {
			continue
		}
		ln.nextTry = now.Add(l.renewal.age / 64)
		if !s.dialer {
			s.enqueue(encode(frameRenew, []byte{byte(n)}))
			continue
		}
		l.replaceLane(ctx, n, trial)
	}
}

// replaceLane dials the connection that is to replace a lane, at the end that dialed. Nothing else may be dialed for that: for
// lane 0 the first of the remotes may be (takeFirst).
func (l *Link) replaceLane(ctx context.Context, n int, trial bool) {
	s := l.session
	s.renewing[n] = true
	h := l.hello(s.id, n)
	if s.peer.flags&flagRenews != 0 {
		h.flags |= flagReplaces
	}
	go l.dialLane(ctx, laneDial{s: s, hello: h, renews: true, trial: trial}, s.remote)
}

// renewed takes the connection that the dialing end made to replace a lane, and reports whether it has: one that has failed
// meanwhile leaves all as it was. The ping tells the listening end that it can move too.
func (l *Link) renewed(ln *lane, able bool) (taken bool) {
	s, old := ln.s, ln.s.lanes[ln.number]
	if able {
		if err := ln.send(pingFrame()); err != nil {
			ln.lose(err)
			return false
		}
	}
	s.unrenewed = nil
	if old == nil || old.lost.Load() {
		l.addLane(ln)
		return true
	}
	ln.after = old.ended
	s.startLane(ln)
	l.takeOver(ln, old)
	if able {
		s.readers.Go(old.retire)
	}
	return true
}

// joins takes a connection of the peer that is to replace a lane. Until the first frame
// comes on it all stays as it is: the answer to its hello may have been lost.
func (l *Link) joins(ln, old *lane) {
	s := ln.s
	if before := s.joining[ln.number]; before != nil {
		before.lose(errMoved)
	}
	s.joining[ln.number] = ln
	ln.after, ln.joining = old.ended, true
	s.startLane(ln)
}

// joined is called when the first frame has come.
func (l *Link) joined(ln *lane) {
	s := ln.s
	if s != l.session || s.joining[ln.number] != ln || ln.lost.Load() {
		ln.lose(errMoved)
		return
	}
	s.joining[ln.number] = nil
	old := s.lanes[ln.number]
	if old == nil || old.lost.Load() {
		s.lanes[ln.number] = ln
		l.route()
		return
	}
	l.takeOver(ln, old)
	s.readers.Go(old.retire)
}

// takeOver has a lane carry what another did. What comes on it is read after all that
// comes on the other (waitTurn), so that each flow stays in order.
func (l *Link) takeOver(ln, old *lane) {
	s := ln.s
	old.replaced.Store(true)
	s.lanes[ln.number] = ln
	if c := l.choice.Load(); c != nil {
		c.steady.Store(false)
	}
	if ln.number == 0 {
		s.first.Store(ln)
		s.remote = ln.wire.remote() // behind a NAT the peer has another port
		l.report.Change(func(t *tunnel.Status) { t.Remote = s.remote })
	}
	l.route()
	l.log.Debug("lane replaced", "lane", ln.number, "remote", ln.wire.remote())
	if old.isStalled() { // nothing would come of waiting
		old.lose(errStalled)
		return
	}
	s.draining = append(s.draining, old)
	if len(s.draining) > maxDraining {
		s.draining[0].wire.Close()
	}
	old.wire.giveUpAfter(l.giveUpAfter())
	old.drainUntil = l.e.cfg.Now().Add(drainTimeout)
}

// retire tells the peer that nothing more comes on a lane, once the sends that are under
// way are done. Others find errMoved.
func (ln *lane) retire() {
	ln.sending.Lock()
	defer ln.sending.Unlock()
	if ln.moved { // one of the ends is being restarted, and this direction is closed
		return
	}
	ln.moved = true
	if err := ln.write(encode(frameDone, nil)); err != nil {
		ln.lose(err)
		return
	}
	ln.finish()
}

// finish is called when a lane is done in one direction, and closes it with the second.
func (ln *lane) finish() {
	if ln.finished.Add(1) == 2 {
		ln.wire.Close()
	}
}

// isDraining reports whether a lane of that number was replaced and is waited for.
func (s *session) isDraining(n int) bool {
	return slices.ContainsFunc(s.draining, func(ln *lane) bool { return ln.number == n })
}

// keepOpen leaves out the lanes that are drained, and closes those that took too long.
func keepOpen(now time.Time, lanes []*lane) []*lane {
	kept := lanes[:0]
	for _, ln := range lanes {
		if !now.Before(ln.drainUntil) {
			ln.wire.Close()
		}
		if ln.finished.Load() < 2 && !ln.lost.Load() {
			kept = append(kept, ln)
		}
	}
	clear(lanes[len(kept):])
	return kept
}

func pingFrame() []byte {
	return encode(framePing, binary.BigEndian.AppendUint64(nil, uint64(monotonic())))
}
