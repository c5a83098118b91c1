package wireguard

import (
	"context"
	"slices"

	"warren/tunnel/wireguard/flow"
	"warren/tunnel/wireguard/protocol"
)

// maxWaiting is how many handshake messages may wait for their turn. That is less than
// what the protocol admits a second.
const maxWaiting = 512

// handshake is a message that waits. A goroutine of its own does the work, so that
// packets, which the receiving goroutines open, do not wait for it.
type handshake struct {
	flow.Handshake
	admitted protocol.Admitted
}

// takeHandshake has a message of a handshake worked on, if it is worth it.
func (e *Endpoint) takeHandshake(h flow.Handshake) {
	admitted, instead := e.machine.Admit(h.At, h.From, h.Msg)
	if admitted == (protocol.Admitted{}) {
		e.finish(&h, instead)
		return
	}
	admitted.Via = h.Socket
	h.Msg = slices.Clone(h.Msg)
	select {
	case e.waiting <- handshake{h, admitted}:
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
			e.finish(&h.Handshake, e.machine.Handshake(h.At, h.From, h.Msg, h.admitted))
		}
	}
}

// finish does what a message of a handshake came to. A link's answers leave by the sockets
// that the link's packets leave by.
func (e *Endpoint) finish(h *flow.Handshake, got protocol.Received) {
	t := e.flow.Heard(got.Peer, h.Local)
	if t == nil {
		e.strangers.note(e.cfg.Date(h.At), h.From, got.Err)
	} else if got.Err == nil {
		e.strangers.refusals.Forget(h.From.Addr())
	}
	if got.Reply == nil {
		return
	}
	var err error
	if t != nil {
		err = t.Transmit(t.Single(got.Reply), h.From)
	} else {
		err = h.Socket.Send(flow.Single(got.Reply), h.From, h.Local)
	}
	if err != nil {
		e.log.Debug("cannot answer a handshake", "remote", h.From, "err", err)
	}
}
