package flow

import (
	"errors"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

const (
	refusedFor  = time.Minute // the first time; twice as long each time after
	refusedMost = time.Hour
	maxRefusals = 1024 // that are remembered
)

// refusals are the destinations to which the kernel refuses to cut a send into messages (UDP_SEGMENT), as the interface there
// does no checksums, or packets are encrypted once more (xfrm). One socket has the packets of many tunnels, and a route may be
// another later. The zero value has none. It is safe for concurrent use.
type refusals struct {
	some atomic.Bool // there are any

	mu sync.Mutex
	of map[netip.AddrPort]refusal
}

type refusal struct {
	until time.Time     // it is not tried again
	rest  time.Duration // after the latest
}

// send sends a burst by a function that sends what is in some places, cut by the kernel if size is not 0.
func (r *refusals) send(b *Burst, to netip.AddrPort, by func(parts [][]byte, size int) error) error {
	if !r.holds(to, time.Now()) {
		err := by(b.parts, b.size)
		switch {
		case err == nil:
			r.worked(to)
			return nil
		case errors.Is(err, unix.EIO):
			r.note(to, time.Now())
		case errors.Is(err, unix.EINVAL), errors.Is(err, unix.EMSGSIZE): // larger than the path's MTU
		default:
			return err
		}
	}
	one := make([][]byte, 1)
	for _, part := range b.parts {
		for msg := range slices.Chunk(part, b.size) {
			one[0] = msg
			if err := by(one, 0); err != nil {
				return err
			}
		}
	}
	return nil
}

// holds reports whether it was refused to a destination, and is not to be tried now.
func (r *refusals) holds(to netip.AddrPort, now time.Time) bool {
	if !r.some.Load() {
		return false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return now.Before(r.of[to].until)
}

func (r *refusals) note(to netip.AddrPort, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	was := r.of[to]
	if now.Before(was.until) {
		return // others that send there have noted it
	}
	if r.of == nil || len(r.of) >= maxRefusals && was.rest == 0 {
		r.of = make(map[netip.AddrPort]refusal)
	}
	rest := min(max(2*was.rest, refusedFor), refusedMost)
	r.of[to] = refusal{now.Add(rest), rest}
	r.some.Store(true)
}

// worked forgets that it was refused to a destination.
func (r *refusals) worked(to netip.AddrPort) {
	if !r.some.Load() {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if !time.Now().Before(r.of[to].until) { // else another send was refused meanwhile
		delete(r.of, to)
	}
	r.some.Store(len(r.of) > 0)
}
