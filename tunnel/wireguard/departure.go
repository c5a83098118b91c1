package wireguard

import "net/netip"

// departure sends what a queue's pump has sealed, in order and of one goroutine at a time.
// What the kernel makes of a flow is a little more than one send takes, and each send
// costs both ends: so the rest waits for the next batch, if that is on its way.
type departure struct {
	link *Link
	next train
	to   netip.AddrPort
	held []*batch // that next is in
}

// hand sends the messages of a batch, which it takes over. With more, it will be called
// with another at once.
func (d *departure) hand(b *batch, more bool) {
	o := &b.sealed
	for i := range o.runs {
		for r := &o.runs[i]; r.count > 0; {
			if d.to != o.to || !d.next.take(r) {
				d.send()
				d.to = o.to
			}
		}
	}
	if len(o.runs) > 0 { // the last of them is in next
		d.held = append(d.held, b)
	} else {
		b.letGo()
	}
	if !more || d.next.full() {
		d.send()
	}
}

// send sends what waits, and lets go of it.
func (d *departure) send() {
	if d.next.count == 0 {
		return
	}
	if err := d.link.transmit(&d.next, d.to); err != nil {
		d.link.counters.Drops.Add(uint64(d.next.count))
		d.link.log.Debug("packets were not sent", "remote", d.to, "err", err)
	}
	d.next.empty()
	for i, b := range d.held {
		b.letGo()
		d.held[i] = nil
	}
	d.held = d.held[:0]
}
