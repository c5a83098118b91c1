package wireguard

import (
	"errors"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"warren/tunnel/wireguard/protocol"
)

// Paths follows the kernel's ways for packets. Follow calls changed, from any goroutine, when the
// way from local to remote is lost, so that what is sent gets nowhere, or is another, with words
// for the operator; a local address that is not valid is the one that the kernel
// chooses. FollowMTU calls told with how many bytes packets to remote may have, with their IP headers, so that
// this machine does not cut them, at first and when that changes. Neither changed nor told blocks. stop ends that.
type Paths interface {
	Follow(local, remote netip.AddrPort, changed func(lost bool, why string)) (stop func())
	FollowMTU(remote netip.AddrPort, told func(mtu int)) (stop func())
}

// ways are those to the peer: from the address that it knows, and from whichever the kernel
// chooses. Only without the latter is there none. What is not guarded by mu belongs to the
// goroutine of Link.Run.
type ways struct {
	paths  Paths // may be nil
	remote netip.AddrPort
	source netip.Addr
	any    way
	own    way
	route  *routeMTU // to remote; nil: none is followed

	lost  string    // why nothing gets to the peer; "": something may
	found time.Time // when something could again; zero: it always could
}

// way is one that is followed.
type way struct {
	stop func() // nil: none is

	mu   sync.Mutex
	news bool
	lost string // as of the latest news; "": it is another
}

func (w *way) follow(p Paths, local netip.Addr, remote netip.AddrPort, notify func()) {
	w.end()
	w.stop = p.Follow(netip.AddrPortFrom(local, 0), remote, func(lost bool, why string) {
		if !lost {
			why = ""
		}
		w.mu.Lock()
		w.news, w.lost = true, why
		w.mu.Unlock()
		notify()
	})
}

func (w *way) end() {
	if w.stop != nil {
		w.stop()
		w.stop = nil
	}
	w.take()
}

func (w *way) take() (news bool, lost string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	news, w.news = w.news, false
	return news, w.lost
}

// routeMTU is how large packets of a way may be.
type routeMTU struct {
	bytes atomic.Int32 // 0: it is not known yet
	stop  func()
}

func followMTU(p Paths, remote netip.AddrPort, notify func()) *routeMTU {
	r := new(routeMTU)
	r.stop = p.FollowMTU(remote, func(mtu int) {
		r.bytes.Store(int32(mtu))
		notify()
	})
	return r
}

func (w *ways) end() {
	if w.route != nil {
		w.route.stop()
		w.route = nil
	}
	w.any.end()
	w.own.end()
}

// isLost reports whether the peer is out of reach, or was and has not been heard since.
func (w *ways) isLost(s *protocol.Status) bool {
	return w.lost != "" || !w.found.IsZero() && !s.Spoke.After(w.found)
}

// followWays has the ways followed that are in use, and takes what became of them. Without any
// the tunnel is down. By another the peer is asked at once, and learns from where this
// end sends now.
func (l *Link) followWays(now time.Time) {
	w := &l.ways
	if w.paths == nil {
		return
	}
	if news, lost := w.any.take(); news {
		if lost != "" {
			was := l.isUp()
			if l.down(now, errors.New(lost)); was {
				l.sayLost(now)
			}
		} else if w.lost != "" {
			w.found = now
		}
		w.lost = lost
		if lost == "" {
			l.showUp(now)
			l.restartPath(now)
		}
	}
	if news, _ := w.own.take(); news {
		l.flow.ForgetSource() // the routes choose
		if w.lost == "" {
			l.showUp(now)
			l.restartPath(now)
		}
	}
	remote, source := l.peer.Status(now).Endpoint, l.flow.Source()
	if remote != w.remote && remote.IsValid() {
		if w.lost != "" {
			w.lost, w.found = "", now
		}
		w.remote, w.source = remote, netip.Addr{}
		w.any.follow(w.paths, netip.Addr{}, remote, l.notify)
		if w.route != nil {
			w.route.stop()
		}
		w.route = followMTU(w.paths, remote, l.notify)
		w.own.end()
	}
	if source != w.source && w.remote.IsValid() {
		if w.source = source; source.IsValid() {
			w.own.follow(w.paths, source, w.remote, l.notify)
		} else {
			w.own.end()
		}
	}
}

// showUp tells the peer where this end is now, by a keepalive if there is a session, and asks it
// by a handshake, which may have to wait.
func (l *Link) showUp(now time.Time) {
	if err := l.sendInside(now, nil); err != nil {
		l.log.Debug("cannot send by the way that there is now", "err", err)
	}
	l.peer.Initiate(now)
}
