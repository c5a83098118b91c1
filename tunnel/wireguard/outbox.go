package wireguard

import "net/netip"

// outbox is messages that wait to be sent, in runs.
type outbox struct {
	to     netip.AddrPort
	runs   []run
	chunks []*buffer // that the messages are in
	used   int       // bytes of the last chunk
}

// run is messages that lie one after the other, all of one size but the last, which may
// be shorter.
type run struct {
	msgs  []byte
	size  int
	count int
}

// reset gives back the buffers.
func (o *outbox) reset() {
	for i, c := range o.chunks {
		c.release()
		o.chunks[i] = nil
	}
	clear(o.runs)
	o.runs, o.chunks, o.used = o.runs[:0], o.chunks[:0], 0
}

// room returns where to make the next message, of up to n bytes.
func (o *outbox) room(n int) []byte {
	if len(o.chunks) == 0 || o.used+n > len(buffer{}) {
		o.chunks = append(o.chunks, newBuffer())
		o.used = 0
	}
	return o.chunks[len(o.chunks)-1][o.used:]
}

// add takes the message of n bytes that was made in the room, into the last run if it
// can be a part of that.
func (o *outbox) add(n int) {
	msg := o.chunks[len(o.chunks)-1][o.used : o.used+n]
	fresh := o.used == 0
	o.used += n
	if last := len(o.runs) - 1; last >= 0 && !fresh {
		r := &o.runs[last]
		whole := len(r.msgs) == r.size*r.count
		if whole && n <= r.size {
			r.msgs = r.msgs[:len(r.msgs)+n]
			r.count++
			return
		}
	}
	o.runs = append(o.runs, run{msgs: msg[:n:cap(msg)], size: n, count: 1})
}
