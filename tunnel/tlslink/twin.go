package tlslink

import (
	"fmt"
	"time"
)

// twinMemory is how long status tells of another machine that has the peer's key, after it
// was heard last.
const twinMemory = 2 * time.Minute

// twin is another machine that has the keys of the peer, which is connected: most often a
// copy of it. The goroutine of Link.Run owns it.
type twin struct {
	heard  time.Time // last; zero: not, or no longer
	times  int       // in a row
	reason string    // that status has
}

// refuseTwin refuses a connection of another machine than the one that the session is with.
// The first one may be what was still on its way when a peer was restarted; only the next
// ones are told of.
func (l *Link) refuseTwin(in *incoming) {
	from := in.wire.remote().Addr()
	go in.reject("another router with this router's keys is connected: give each router keys of its own")
	l.twin.heard = l.e.cfg.Now()
	if l.twin.times++; l.twin.times == 1 {
		return
	}
	l.twin.reason = fmt.Sprintf("somebody else has this peer's key, at %s, and is refused while %s is connected: give each router keys of its own",
		from, l.session.remote.Addr())
	if l.report.SetError(l.twin.reason) {
		l.log.Warn("two machines have one key", "err", l.twin.reason)
	}
}

// forgetTwin is called at each tick of a session.
func (l *Link) forgetTwin(now time.Time) {
	if l.twin.heard.IsZero() || now.Sub(l.twin.heard) < twinMemory {
		return
	}
	if l.twin.reason != "" && l.report.Status().LastError == l.twin.reason {
		l.report.SetError("")
	}
	l.twin = twin{}
}
