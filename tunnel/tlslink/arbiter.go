package tlslink

import (
	"bytes"
	"slices"

	"warren/tunnel"
)

// The arbiter decides which connection carries a link, when both ends may dial and
// either may restart at any moment. It has no connection in it: the link tells it
// what happened, and does what it says.
//
// What an end can be doing:
//
//	         start            greet             answered
//	idle ──────────► dialing ───────► greeted ───────────► up
//	 ▲                  │                 │                 │
//	 │                  │ accept          │ accept          │ ended
//	 │                  ▼                 ▼                 │
//	 │                 up                up                 │
//	 └──────────────────────────────────────────────────────┘
//
// dialing: TCP or TLS on the way, nothing said to the peer. greeted: our hello is
// sent and unanswered. What an incoming hello gets:
//
//	idle      accept
//	dialing   accept; our dial is given up, and can say nothing any more
//	greeted   both ends have said hello. Ours wins if our identity is the lower
//	          one: theirs is held until ours is answered or fails. Otherwise accept,
//	          and ours is given up: the peer holds it, and drops it when our answer
//	          arrives.
//	up        replace if the peer has given up the session that we believe in, or
//	          never got our answer: it is a new instance (it restarted), or one that
//	          has given up more than when this session began. Otherwise reject: a
//	          late duplicate. An instance that was replaced while its session was up
//	          is dead if it was a restart; if it comes again, another machine has the
//	          same identity, and each would replace the other for ever: refuse.
//
// So of two hellos that cross, both ends keep the one that the lower identity
// sent, and neither end takes a session up and down again. That an end which
// accepted cannot still say hello is why a dial asks before it does.
type arbiter struct {
	local      tunnel.Identity
	phase      phase
	generation uint64 // hellos and sessions that this end has given up
	peer       hello  // of the session, while up

	replaced [][16]byte // the instances whose sessions another one replaced, the latest last
}

// maxReplaced is how many machines with one identity are told from a restart.
const maxReplaced = 8

type phase int

const (
	idle phase = iota
	dialing
	greeted
	up
)

type verdict int

const (
	accept  verdict = iota
	replace         // end the session, then accept
	hold            // decide when our dial is done
	reject
	refuse // it is of another machine than the session
)

// start begins a dial; false: there is nothing to dial for.
func (a *arbiter) start() bool {
	if a.phase != idle {
		return false
	}
	a.phase = dialing
	return true
}

// greet asks whether a dial may say hello.
func (a *arbiter) greet() bool {
	if a.phase != dialing {
		return false
	}
	a.phase = greeted
	return true
}

// unanswered notes that our hello failed, though the dial may go on elsewhere;
// what was held is then to be decided again.
func (a *arbiter) unanswered() {
	if a.phase == greeted {
		a.phase = dialing
		a.generation++
	}
}

// dialEnded notes that the dial is over; what was held is then to be decided again.
func (a *arbiter) dialEnded() {
	a.unanswered()
	if a.phase != up {
		a.phase = idle
	}
}

// established notes the session that came up, dialed or accepted.
func (a *arbiter) established(peer hello) {
	a.phase, a.peer = up, peer
}

// ended notes that the session is over.
func (a *arbiter) ended() {
	a.phase, a.peer = idle, hello{}
	a.generation++
}

// incoming decides about a hello that begins a session.
func (a *arbiter) incoming(h *hello) verdict {
	switch a.phase {
	case greeted:
		if bytes.Compare(a.local[:], h.identity[:]) < 0 {
			return hold
		}
		return accept
	case up:
		switch {
		case h.instance != a.peer.instance:
			if slices.Contains(a.replaced, h.instance) {
				return refuse
			}
			a.replaced = append(a.replaced, a.peer.instance)
			a.replaced = a.replaced[max(0, len(a.replaced)-maxReplaced):]
			return replace
		case h.generation > a.peer.generation:
			return replace
		}
		return reject
	}
	return accept
}
