package flow

import (
	"time"

	"warren/tunnel/internal/ecn"
	"warren/tunnel/internal/segment"
	"warren/tunnel/tun"
	"warren/tunnel/wireguard/pathmtu"
	"warren/tunnel/wireguard/protocol"
)

// seal makes messages of the frames of a batch.
func (t *Tunnel) seal(b *outboundBatch) {
	defer b.releaseRead()
	limit := int(t.Limit.Load())
	t.refuseLarge(b, limit)
	count := 0
	for i := range b.frames {
		count += b.frames[i].Count()
	}
	if count == 0 {
		return
	}
	sealer, err := t.Peer.Sealer(t.Flow.Now(), count)
	if err != nil {
		t.Counters.Drops.Add(uint64(count))
		return
	}
	b.sealed.to = sealer.To
	marking := t.Marking()
	bytes := 0
	for i := range b.frames {
		s := &b.frames[i]
		t.sendsLarge(s.Longest())
		class := marking.class(ecn.Class(s.Packet()))
		longest := protocol.Overhead + max(s.Longest(), protocol.PaddedLen(s.Longest(), limit))
		for {
			at := b.sealed.room(longest)
			n := s.Next(at[protocol.HeaderLen:])
			if n == 0 {
				break
			}
			segment.ClampMSS(at[protocol.HeaderLen:protocol.HeaderLen+n], limit)
			bytes += n
			b.sealed.add(len(sealer.Add(at, n, limit)), class)
		}
	}
	sealer.Seal()
	t.Counters.TxPackets.Add(uint64(count))
	t.Counters.TxBytes.Add(uint64(bytes))
}

// tooLargeEvery is the least time between two ICMP errors of a tunnel. A sender needs one.
const tooLargeEvery = 20 * time.Millisecond

// refuseLarge takes from a batch the frames that are too large for the path though not for the
// interface, which keeps the 1280 bytes that IPv6 demands of it, and tells their senders. Those
// that cannot be told, because they are of IPv6 or let routers fragment, go and get lost.
func (t *Tunnel) refuseLarge(b *outboundBatch, limit int) {
	if limit >= pathmtu.Base {
		return
	}
	kept := b.frames[:0]
	for i := range b.frames {
		s := &b.frames[i]
		var told []byte
		if s.Longest() > limit {
			told = pathmtu.TooLarge(s.Packet(), limit)
		}
		if told == nil {
			kept = append(kept, *s)
			continue
		}
		t.Counters.Drops.Add(uint64(s.Count()))
		last, now := t.told.Load(), time.Now().UnixNano()
		if now-last < int64(tooLargeEvery) || !t.told.CompareAndSwap(last, now) {
			continue
		}
		if err := t.Device.Write(append(make([]byte, tun.HeaderLen), told...)); err != nil {
			t.Logger.Debug("an ICMP error was not delivered", "err", err)
		}
	}
	clear(b.frames[len(kept):])
	b.frames = kept
}
