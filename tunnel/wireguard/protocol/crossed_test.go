package protocol

import (
	"bytes"
	"testing"
	"time"
)

// When both ends begin at once, and so has each a session of its own, packets that are on
// their way while the sessions are renewed arrive, as they do otherwise.
func TestRenewalLosesNothing(t *testing.T) {
	const step, delay, every = 5 * time.Millisecond, 50 * time.Millisecond, 10 * time.Millisecond
	for name, head := range map[string]time.Duration{"both at once": 0, "nearly at once": 20 * time.Millisecond, "one after the other": time.Second} {
		t.Run(name, func(t *testing.T) {
			n := newNetwork(t, func(a, b *PeerConfig) { b.Endpoint = addrA })
			type flying struct {
				to   *end
				msg  []byte
				when time.Time
			}
			var sky []flying
			fly := func(from *end, msg []byte) {
				sky = append(sky, flying{n.other(from), bytes.Clone(msg), n.now.Add(delay)})
			}
			began, sent, arrived, initiations := n.now, 0, 0, 0
			n.a.p.Initiate(n.now)
			late := false
			for ; n.now.Sub(began) < 10*time.Minute; n.now = n.now.Add(step) {
				if !late && n.now.Sub(began) >= head {
					late = true
					if !n.b.p.Status(n.now).Established {
						n.b.p.Initiate(n.now)
					}
				}
				for len(sky) > 0 && !sky[0].when.After(n.now) {
					f := sky[0]
					sky = sky[1:]
					r := f.to.m.Receive(n.now, n.other(f.to).addr, f.msg)
					if r.Err != nil {
						f.to.errs = append(f.to.errs, r.Err)
					}
					if r.Packet != nil {
						arrived++
					}
					if r.Reply != nil {
						fly(f.to, r.Reply)
					}
				}
				for _, e := range []*end{n.a, n.b} {
					for _, msg := range e.p.Tick(n.now) {
						if IsInitiation(msg) {
							initiations++
						}
						fly(e, msg)
					}
					if at := n.now.Sub(began); at%every == 0 && at < 10*time.Minute-time.Second && e.p.Status(n.now).Established {
						if msg, err := n.seal(e, packet(100, 1)); err == nil {
							fly(e, msg)
							sent++
						}
					}
				}
			}
			if arrived != sent || len(n.a.errs)+len(n.b.errs) > 0 {
				t.Errorf("%d of %d packets were lost, with %d handshakes; %d and %d errors, first %v",
					sent-arrived, sent, initiations, len(n.a.errs), len(n.b.errs), append(n.a.errs, n.b.errs...)[:1])
			}
		})
	}
}
