package wireguard

import (
	"net/netip"
	"sync"

	"warren/tunnel/tun"
	"warren/tunnel/wireguard/protocol"
)

// outbox is messages that wait to be sent, in runs that one send takes.
type outbox struct {
	to     netip.AddrPort
	runs   []run
	chunks []*chunk // that the messages are in
	used   int      // bytes of the last chunk
}

// run is messages that lie one after the other, all of one size but the last, which may
// be shorter.
type run struct {
	msgs  []byte
	size  int
	count int
}

// chunk has room for what a frame of the usual segment size makes.
type chunk [protocol.Overhead + tun.MaxPacket + 8<<10]byte

var chunks = sync.Pool{New: func() any { return new(chunk) }}

// reset gives back the buffers.
func (o *outbox) reset() {
	for i, c := range o.chunks {
		chunks.Put(c)
		o.chunks[i] = nil
	}
	clear(o.runs)
	o.runs, o.chunks, o.used = o.runs[:0], o.chunks[:0], 0
}

// room returns where to make the next message, of up to n bytes.
func (o *outbox) room(n int) []byte {
	if len(o.chunks) == 0 || o.used+n > len(chunk{}) {
		o.chunks = append(o.chunks, chunks.Get().(*chunk))
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
		if whole && n <= r.size && r.count < maxSegments && len(r.msgs)+n <= maxDatagram {
			r.msgs = r.msgs[:len(r.msgs)+n]
			r.count++
			return
		}
	}
	o.runs = append(o.runs, run{msgs: msg[:n:cap(msg)], size: n, count: 1})
}
