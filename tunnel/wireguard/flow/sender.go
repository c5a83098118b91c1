package flow

import "net/netip"

// sender sends the sealed batches of a queue. It is called in order, by one goroutine at a
// time. A frame of 64 KiB is slightly more than one send takes, and each send costs both ends:
// so the remainder waits for the next batch, if one is coming.
type sender struct {
	tunnel *Tunnel
	next   Burst
	to     netip.AddrPort
	held   []*outboundBatch // that next is in
}

// hand sends the messages of a batch, which it takes over. With more, it will be called
// with another at once.
func (s *sender) hand(b *outboundBatch, more bool) {
	for i := range b.sealed.runs {
		for r := &b.sealed.runs[i]; r.count > 0; {
			if s.to != b.sealed.to || !s.next.take(r) {
				s.send()
				s.to = b.sealed.to
			}
		}
	}
	if len(b.sealed.runs) > 0 { // the last of them is in next
		s.held = append(s.held, b)
	} else {
		b.release()
	}
	if !more || s.next.full() {
		s.send()
	}
}

// send sends what waits, and releases it.
func (s *sender) send() {
	if s.next.count == 0 {
		return
	}
	if err := s.tunnel.Transmit(&s.next, s.to); err != nil {
		s.tunnel.Counters.Drops.Add(uint64(s.next.count))
		s.tunnel.Logger.Debug("packets were not sent", "remote", s.to, "err", err)
	}
	s.next.reset()
	for i, b := range s.held {
		b.release()
		s.held[i] = nil
	}
	s.held = s.held[:0]
}
