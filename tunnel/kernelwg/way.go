package kernelwg

import (
	"net/netip"
)

// Paths follows the kernel's ways for packets. Follow calls changed, from any goroutine, when the way from local to remote
// is lost, so that what is sent gets nowhere, or is another, with words for the operator; a local address that is not valid is
// the one that the kernel chooses. changed does not block. stop ends that.
type Paths interface {
	Follow(local, remote netip.AddrPort, changed func(lost bool, why string)) (stop func())
}

// way is the one on the underlay to where the peer is, as the kernel knows it.
type way struct {
	remote netip.AddrPort
	stop   func() // nil: none is followed
	number int    // of those that were followed
}

// follow has the way followed that leads to where the peer is. The end of an earlier one is of no interest.
func (l *Link) follow(remote netip.AddrPort) {
	if l.cfg.Paths == nil || !remote.IsValid() {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	w := &l.way
	if l.ended || w.remote == remote {
		return
	}
	l.unfollowLocked()
	w.remote = remote
	w.number++
	number := w.number
	w.stop = l.cfg.Paths.Follow(netip.AddrPort{}, remote, func(lost bool, why string) { l.wayChanged(number, lost, why) })
}

// unfollowLocked ends what follow has begun. What was lost is not any more, as far as is known.
func (l *Link) unfollowLocked() {
	w := &l.way
	if w.stop != nil {
		w.stop()
	}
	*w = way{number: w.number}
	l.sayLostLocked("")
}

// unfollow is for the end.
func (l *Link) unfollow() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ended = true
	l.unfollowLocked()
}

// wayChanged takes what has become of the way with a number. By one that is there again, or another, the peer is asked at once;
// if the tunnel is not up the kernel is to begin a handshake at once too.
func (l *Link) wayChanged(number int, lost bool, why string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if number != l.way.number {
		return
	}
	if lost {
		l.sayLostLocked(why)
		return
	}
	l.sayLostLocked("")
	signal(l.found)
	l.pathMayDiffer()
	l.cfg.Ask()
}

func (l *Link) sayLostLocked(why string) {
	if l.lost == why {
		return
	}
	if l.lost = why; l.cfg.Lost != nil {
		l.cfg.Lost(why)
	}
}

func signal(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
