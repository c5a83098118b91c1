package flow

import (
	"errors"
	"net/netip"

	"golang.org/x/sys/unix"
)

// HeardAt notes where the peer sent to.
func (t *Tunnel) HeardAt(local netip.Addr) {
	if known := t.source.Load(); known != nil && *known == local || !local.IsValid() {
		return
	}
	changed := local // only a change allocates
	t.source.Store(&changed)
}

// ForgetSource has the host's routes choose the source address until the peer is heard again.
func (t *Tunnel) ForgetSource() { t.source.Store(nil) }

// Source is the address of ours that the peer sends to; not valid where the host's routes
// choose.
func (t *Tunnel) Source() (known netip.Addr) {
	if from := t.source.Load(); from != nil {
		known = *from
	}
	return known
}

// Transmit sends messages with the source address that the peer knows this end by. That
// address, or the route from there, may have gone: then the host's routes choose.
func (t *Tunnel) Transmit(b *Burst, to netip.AddrPort) error {
	from := t.source.Load()
	if from == nil {
		return t.Out.Send(b, to, netip.Addr{})
	}
	err := t.Out.Send(b, to, *from)
	if err != nil && isGone(err) && t.source.CompareAndSwap(from, nil) {
		return t.Out.Send(b, to, netip.Addr{})
	}
	return err
}

func isGone(err error) bool {
	for _, gone := range []error{unix.EINVAL, unix.EADDRNOTAVAIL, unix.ENETUNREACH, unix.EHOSTUNREACH} {
		if errors.Is(err, gone) {
			return true
		}
	}
	return false
}
