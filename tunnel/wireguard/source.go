package wireguard

import (
	"errors"
	"net/netip"

	"golang.org/x/sys/unix"
)

// heardAt notes where the peer sent to.
func (l *Link) heardAt(local netip.Addr) {
	if known := l.source.Load(); known != nil && *known == local || !local.IsValid() {
		return
	}
	changed := local // the heap is for those that do
	l.source.Store(&changed)
}

// transmit sends messages, from where the peer knows this end. That address, or the way
// from there, may have gone: then the host's routes choose.
func (l *Link) transmit(t *train, to netip.AddrPort) error {
	from := l.source.Load()
	if from == nil {
		return l.out.send(t, to, netip.Addr{})
	}
	err := l.out.send(t, to, *from)
	if err != nil && isGone(err) && l.source.CompareAndSwap(from, nil) {
		return l.out.send(t, to, netip.Addr{})
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
