package wireguard

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"warren/tunnel/boottime"
	"warren/tunnel/internal/sysio"
	"warren/tunnel/wireguard/flow"
	"warren/tunnel/wireguard/protocol"
)

// How tunnels go to the next program in the same process (execve(2)), so that the peers notice nothing:
//
//  1. The peers are asked to wait (restart.go).
//  2. Nothing more is read from sockets and interfaces ([Endpoint.Halt]). What comes waits there.
//  3. Each link gives up its sessions ([Link.HandOver]), and the endpoint its sockets
//     ([Endpoint.HandOver]), whose descriptors stay open.
//  4. The next program opens its links with them: they are up from the start.

// Handover is what a link leaves to the next program. It has keys in it.
type Handover struct {
	At     int64              `json:"at"` // by CLOCK_BOOTTIME, in ns
	Source netip.Addr         `json:"source"`
	Port   uint16             `json:"port,omitempty"` // of the spare sockets by which its packets leave; 0: by the endpoint's
	Peer   *protocol.Handover `json:"peer"`
	// Awaits is for how long the peer is still waited for, which is being restarted too, in ns; 0: it is not. An older program does not
	// say.
	Awaits time.Duration `json:"awaits,omitempty"`
}

// EndpointHandover is what an endpoint leaves.
type EndpointHandover struct {
	Sockets []HandedSocket `json:"sockets"`
}

// HandedSocket is a socket of the endpoint's port.
type HandedSocket struct {
	Network    string `json:"network"`  // "udp4" or "udp6"
	Underlay   string `json:"underlay"` // "": none
	Index      int    `json:"index"`    // of the underlay
	Port       uint16 `json:"port"`
	Descriptor int    `json:"descriptor"`
	Spare      bool   `json:"spare,omitempty"` // the port is a link's own
}

// Halt has nothing more be read, and returns when what was read before is on its way, or ctx is done. Carry ends that.
func (e *Endpoint) Halt(ctx context.Context) { e.flow.Halt(ctx) }

// HandOver describes the sockets. The descriptors stay the Endpoint's.
func (e *Endpoint) HandOver() (h EndpointHandover) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.eachBinding(func(b *binding) { // spare ones last
		_, spare := e.spares[b]
		p := b.current.Load()
		for network, s := range map[string]*flow.Socket{"udp4": p.v4, "udp6": p.v6} {
			if s == nil {
				continue
			}
			if fd, err := s.Descriptor(); err == nil {
				h.Sockets = append(h.Sockets, HandedSocket{network, b.underlay, p.index, p.port, fd, spare})
			}
		}
	})
	return h
}

// Carry is called when there is no next program: the endpoint goes on.
func (e *Endpoint) Carry() { e.flow.Resume() }

// HandOver gives up the sessions of the link. nil: the tunnel is not up. It may be called from any goroutine.
func (l *Link) HandOver() (*Handover, error) {
	if !l.isUp() {
		return nil, nil
	}
	at, err := boottime.SinceBoot()
	if err != nil {
		return nil, fmt.Errorf("wireguard: hand over %s: %w", l.cfg.Name, err)
	}
	h := &Handover{At: int64(at), Source: l.flow.Source(), Port: l.out.usedPort(), Peer: l.peer.HandOver(l.e.cfg.Now())}
	if h.Peer == nil {
		return nil, nil
	}
	h.Awaits = l.awaitsFor(l.e.cfg.Now())
	return h, nil
}

// Carry is called when there is no next program: the link goes on.
func (l *Link) Carry() {
	l.peer.Carry()
	l.tellBack()
}

// takeUp has a new link be the one that was handed over.
func (l *Link) takeUp(h *Handover) {
	at, err := boottime.SinceBoot()
	if err != nil || h.Peer == nil {
		return
	}
	now, ago := l.e.cfg.Now(), max(0, at-time.Duration(h.At))
	if !l.peer.TakeUp(now, h.Peer, ago) {
		return
	}
	l.flow.HeardAt(h.Source)
	if h.Port != 0 {
		l.takeUpSpare(h.Port)
	}
	l.live.Came()
	if h.Awaits > ago {
		l.awaitUntil(now.Add(h.Awaits - ago))
	}
	s := l.peer.Status(now)
	l.setUp(now, &s)
	l.tellBack()
}

// inherited returns the socket that was handed over for a port on an underlay or on none; nil: there is none.
// Port 0 is the one that the program before had, and none for spare sockets.
func (e *Endpoint) inherited(network string, o opening) (*net.UDPConn, error) {
	for i, s := range e.handed {
		other := s.Port != o.port && (o.port != 0 || o.spare)
		if s.Network != network || s.Underlay != o.underlay || s.Spare != o.spare || other {
			continue
		}
		e.handed = append(e.handed[:i:i], e.handed[i+1:]...)
		if o.underlay != "" {
			index, err := sysio.InterfaceIndex(o.underlay)
			if gone := err != nil || index != s.Index; gone {
				unix.Close(s.Descriptor) // it is bound to an interface that is gone
				return nil, nil
			}
		}
		return adoptSocket(s)
	}
	return nil, nil
}

func adoptSocket(s HandedSocket) (*net.UDPConn, error) {
	f := os.NewFile(uintptr(s.Descriptor), s.Network)
	if f == nil {
		return nil, fmt.Errorf("descriptor %d was handed over as a socket", s.Descriptor)
	}
	defer f.Close()
	c, err := net.FilePacketConn(f)
	if err != nil {
		return nil, fmt.Errorf("a socket that was handed over: %w", err)
	}
	u, ok := c.(*net.UDPConn)
	if !ok || u.LocalAddr().(*net.UDPAddr).AddrPort().Port() != s.Port {
		_ = c.Close()
		return nil, errors.New("a socket that was handed over is not of the port")
	}
	return u, nil
}

// DropInherited closes the sockets that were handed over and that nothing has asked for. It is called when
// all links are there.
func (e *Endpoint) DropInherited() {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, s := range e.handed {
		if s.Spare { // of a link that only tried it; the guard may have been told
			e.left(s.Port)
		}
		unix.Close(s.Descriptor)
	}
	e.handed = nil
}
