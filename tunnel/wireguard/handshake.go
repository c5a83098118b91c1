package wireguard

import (
	"context"
	"net/netip"
	"slices"
	"time"

	"warren/tunnel/wireguard/protocol"
)

// maxWaiting is how many handshake messages may wait for their turn. That is less than
// what the protocol admits a second.
const maxWaiting = 512

// handshake is a message that waits. A goroutine of its own does the work, so that
// packets, which the receivers open, do not wait for it.
type handshake struct {
	socket   *socket // on which it arrived
	at       time.Time
	from     netip.AddrPort
	local    netip.Addr // of ours, that it was sent to
	admitted protocol.Admitted
	msg      []byte
}

// takeHandshake has a message of a handshake seen to, if it is worth it.
func (e *Endpoint) takeHandshake(h handshake) {
	admitted, instead := e.machine.Admit(h.at, h.from, h.msg)
	if admitted == (protocol.Admitted{}) {
		e.finish(&h, instead)
		return
	}
	h.admitted, h.msg = admitted, slices.Clone(h.msg)
	select {
	case e.waiting <- h:
	default: // the sender will try again
	}
}

// shake works on handshakes until ctx is done.
func (e *Endpoint) shake(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case h := <-e.waiting:
			e.finish(&h, e.machine.Handshake(h.at, h.from, h.msg, h.admitted))
		}
	}
}

// finish does what a message of a handshake came to. A link's answers leave where all
// that is the link's does.
func (e *Endpoint) finish(h *handshake, got protocol.Received) {
	l := e.heard(got.Peer, h.local)
	if l == nil {
		e.strangers.note(e.cfg.Date(h.at), h.from, got.Err)
	} else if got.Err == nil {
		e.strangers.refusals.Forget(h.from.Addr())
	}
	if got.Reply == nil {
		return
	}
	var err error
	if l != nil {
		err = l.transmit(single(got.Reply), h.from)
	} else {
		err = h.socket.send(single(got.Reply), h.from, h.local)
	}
	if err != nil {
		e.log.Debug("cannot answer a handshake", "remote", h.from, "err", err)
	}
}

// heard takes note that a peer was, at an address of ours, and returns its link, or nil.
func (e *Endpoint) heard(p *protocol.Peer, local netip.Addr) *Link {
	found, _ := e.links.Load(p)
	l, _ := found.(*Link)
	if l == nil {
		return nil
	}
	l.heardAt(local)
	if !l.up.Load() {
		l.notify()
	}
	return l
}
