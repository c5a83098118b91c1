package flow

import "net/netip"

// sealed is the messages made of a batch, in runs.
type sealed struct {
	to     netip.AddrPort
	runs   []run
	chunks []*buffer // that the messages are in
	used   int       // bytes of the last chunk
}

// run is messages that lie one after the other, all of one size but the last, which may
// be shorter, and of one traffic class.
type run struct {
	msgs  []byte
	size  int
	count int
	class uint8
}

// reset gives back the buffers.
func (s *sealed) reset() {
	for i, c := range s.chunks {
		c.release()
		s.chunks[i] = nil
	}
	clear(s.runs)
	s.runs, s.chunks, s.used = s.runs[:0], s.chunks[:0], 0
}

// room returns where to make the next message, of up to n bytes.
func (s *sealed) room(n int) []byte {
	if len(s.chunks) == 0 || s.used+n > len(buffer{}) {
		s.chunks = append(s.chunks, newBuffer())
		s.used = 0
	}
	return s.chunks[len(s.chunks)-1][s.used:]
}

// add takes the message of n bytes that was made in the room, whose outer packet is to have a
// traffic class, into the last run if it can be a part of that.
func (s *sealed) add(n int, class uint8) {
	msg := s.chunks[len(s.chunks)-1][s.used : s.used+n]
	fresh := s.used == 0
	s.used += n
	if last := len(s.runs) - 1; last >= 0 && !fresh {
		r := &s.runs[last]
		whole := len(r.msgs) == r.size*r.count
		if whole && n <= r.size && class == r.class {
			r.msgs = r.msgs[:len(r.msgs)+n]
			r.count++
			return
		}
	}
	s.runs = append(s.runs, run{msgs: msg[:n:cap(msg)], size: n, count: 1, class: class})
}
