package tlslink

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"warren/tunnel"
)

// Handover is what a link leaves to the next program in the same process: who its two ends were. The
// session itself ends, as crypto/tls has no way to hand it on.
type Handover struct {
	Local      tunnel.Identity `json:"local"`
	Peer       tunnel.Identity `json:"peer"`
	Instance   [16]byte        `json:"instance"`           // of the peer
	Assigned   []netip.Addr    `json:"assigned,omitempty"` // by the peer
	Beside     bool            `json:"beside,omitempty"`   // the peer carries the tunnel by another transport too
	Remote     netip.AddrPort  `json:"remote"`
	Dialed     string          `json:"dialed,omitempty"` // by this end: the remote, as in [LinkConfig]; "": the peer has dialed
	Key        string          `json:"key,omitempty"`    // the name of the secret that it was made with, see [tunnel.Status]
	Generation uint64          `json:"generation"`       // with which the next hello is later than all before
}

// EndpointHandover is what an endpoint leaves: who it says that it is, and its listening sockets.
type EndpointHandover struct {
	Instance  [16]byte               `json:"instance"`
	Listeners map[netip.AddrPort]int `json:"listeners"` // descriptors, by the address that was asked for
}

type handoverRequest struct {
	done chan *Handover // capacity 1
}

// HandOver pauses the tunnel, if it is up, and ends its session. nil: it is not up. Until [Link.Carry]
// the link neither dials nor takes a connection.
func (l *Link) HandOver(ctx context.Context) (*Handover, error) {
	r := handoverRequest{done: make(chan *Handover, 1)}
	select {
	case l.handovers <- r:
	case <-l.done:
		return nil, nil
	case <-ctx.Done():
		return nil, fmt.Errorf("tlslink: hand over %s: %w", l.cfg.Name, ctx.Err())
	}
	select {
	case h := <-r.done:
		return h, nil
	case <-l.done:
		return nil, nil
	case <-ctx.Done():
		return nil, fmt.Errorf("tlslink: hand over %s: %w", l.cfg.Name, ctx.Err())
	}
}

// Carry is called when there is no next program: the link goes on.
func (l *Link) Carry() {
	select {
	case l.carries <- struct{}{}:
	case <-l.done:
	}
}

// handOver begins what HandOver asks for.
func (l *Link) handOver(r handoverRequest) {
	l.leaving = &r
	l.endDial()
	l.letGo(errRestart)
	if l.session != nil {
		l.part(l.session, true)
	}
}

// handedOver answers when there is no session any more.
func (l *Link) handedOver() {
	if l.leaving == nil || l.leaving.done == nil || l.session != nil {
		return
	}
	var h *Handover
	if p := l.paused; p != nil {
		h = &Handover{Local: p.local, Peer: p.peer, Instance: p.instance, Assigned: p.assigned, Beside: p.beside, Remote: p.remote, Dialed: p.dialed, Key: l.report.Status().Key, Generation: l.arb.generation + 1}
	}
	l.leaving.done <- h
	l.leaving.done = nil
}

// carry goes on after handOver.
func (l *Link) carry() {
	if l.leaving != nil {
		l.handedOver()
		l.leaving = nil
	}
	l.backoff = backoff{due: true, urgent: true}
}

// takeUp has a new link be the one that was handed over: it is paused.
func (l *Link) takeUp(h *Handover) {
	l.arb.generation = h.Generation
	l.beginPause(pause{local: h.Local, peer: h.Peer, instance: h.Instance, assigned: h.Assigned, beside: h.Beside, remote: h.Remote, dialed: h.Dialed}, false)
	now, key := time.Now(), h.Key
	place := l.placeOf(key) // the order may be another than before
	if place == 0 {
		key = "" // which is used is known when the next session is there
	}
	l.report.Up(now, h.Remote)
	l.report.Change(func(t *tunnel.Status) { t.Local, t.Peer, t.Key, t.KeyPlace = h.Local, h.Peer, key, place })
	l.emit(tunnel.Event{Up: true, Time: now, Remote: h.Remote, Local: h.Local, Peer: h.Peer, Assigned: h.Assigned, Beside: h.Beside})
}

// HandOver has the endpoint accept no more connections: they wait in the kernel. Until [Endpoint.Carry]
// the descriptors stay the Endpoint's.
func (e *Endpoint) HandOver() EndpointHandover {
	e.mu.Lock()
	defer e.mu.Unlock()
	h := EndpointHandover{Instance: e.instance, Listeners: map[netip.AddrPort]int{}}
	if e.halted.Load() == nil {
		halted := make(chan struct{})
		e.halted.Store(&halted)
	}
	for _, l := range e.allLocked() {
		_ = l.SetDeadline(time.Unix(1, 0))
	}
	for addr, l := range e.listeners {
		if raw, err := l.(*net.TCPListener).SyscallConn(); err == nil && addr.Port() != 0 {
			_ = raw.Control(func(fd uintptr) { h.Listeners[addr] = int(fd) })
		}
	}
	return h
}

// Carry is called when there is no next program: the endpoint goes on.
func (e *Endpoint) Carry() {
	e.mu.Lock()
	defer e.mu.Unlock()
	halted := e.halted.Swap(nil)
	for _, l := range e.allLocked() {
		_ = l.SetDeadline(time.Time{})
	}
	if halted != nil {
		close(*halted)
	}
}

// allLocked are all listeners.
func (e *Endpoint) allLocked() (all []*net.TCPListener) {
	for _, l := range e.listeners {
		all = append(all, l.(*net.TCPListener))
	}
	for _, b := range e.bound {
		all = append(all, b.Listener.(*net.TCPListener))
	}
	return all
}

// inherited returns the listener on an address that was handed over, and what is wrong with it; nil: there
// is none.
func (e *Endpoint) inherited(addr netip.AddrPort) (net.Listener, error) {
	fd, ok := e.handed[addr]
	if !ok {
		return nil, nil
	}
	delete(e.handed, addr)
	f := os.NewFile(uintptr(fd), addr.String())
	if f == nil {
		return nil, fmt.Errorf("tlslink: listener on %s: %d is no descriptor", addr, fd)
	}
	defer f.Close()
	listens, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ACCEPTCONN)
	if err == nil && listens == 0 {
		err = errors.New("it does not listen")
	}
	if err != nil {
		return nil, fmt.Errorf("tlslink: the listener on %s that was handed over: %w", addr, err)
	}
	l, err := net.FileListener(f)
	if err != nil {
		return nil, fmt.Errorf("tlslink: the listener on %s that was handed over: %w", addr, err)
	}
	if t, ok := l.(*net.TCPListener); !ok || addrPort(t.Addr()) != netip.AddrPortFrom(addr.Addr().Unmap(), addr.Port()) {
		l.Close()
		return nil, fmt.Errorf("tlslink: the listener on %s that was handed over listens on %s", addr, l.Addr())
	}
	return l, nil
}

// dropInherited closes the listeners that nobody wants any more.
func (e *Endpoint) dropInherited() {
	for addr, fd := range e.handed {
		unix.Close(fd)
		delete(e.handed, addr)
	}
}
