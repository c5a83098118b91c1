package tlslink

import (
	"fmt"
	"time"
)

// twinMemory is how long status tells of another machine that has the peer's key, after it
// was heard last.
const twinMemory = 2 * time.Minute

// twin is another machine that has the keys of the peer, which is connected, or that a CA vouches for by the same name: most often a
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
	has, todo, both := "this peer's key", "give each router keys of its own", "two machines have one key"
	refusal := "another router with this router's keys is connected: " + todo
	if t := &in.wire.proof.cred.trust; t.CA != nil { // a key of its own would not help
		has, todo, both = fmt.Sprintf("a certificate for %q too", t.PeerName), "give each router a certificate for a name of its own", "two machines have one name"
		refusal = fmt.Sprintf("another router with a certificate for %q is connected: %s", t.PeerName, todo)
	}
	go in.reject(refusal)
	l.twin.heard = l.e.cfg.Now()
	if l.twin.times++; l.twin.times == 1 {
		return
	}
	l.twin.reason = fmt.Sprintf("somebody else has %s, at %s, and is refused while %s is connected: %s", has, from, l.session.remote.Addr(), todo)
	if l.report.SetError(l.twin.reason) {
		l.log.Warn(both, "err", l.twin.reason)
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
