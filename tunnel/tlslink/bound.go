package tlslink

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"warren/tunnel/internal/sysio"
)

// A router with two providers has one default route, by which the kernel would answer a SYN that
// came by the other provider, which often drops it for its source. The answer leaves by the
// interface that the listening socket is bound to. So for each underlay that links name, the
// endpoint listens by sockets of its own, on the same addresses; the kernel gives a SYN to
// the one that is bound to where it came in (net/ipv4/inet_hashtables.c, compute_score).
// Connections inherit that.

// boundTo is a listener of an underlay.
type boundTo struct {
	underlay string
	addr     netip.AddrPort
}

// bound is what there is of it.
type bound struct {
	net.Listener
	index int // of the interface that it is bound to
}

// rebindEvery is how often the endpoint looks whether underlays have come, or are other
// interfaces by now.
const rebindEvery = time.Second

// followUnderlays keeps the listeners of underlays bound until ctx is done.
func (e *Endpoint) followUnderlays(ctx context.Context) {
	t := time.NewTicker(rebindEvery)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
			e.mu.Lock()
			e.rebindLocked()
			e.mu.Unlock()
		}
	}
}

// rebindLocked listens on the underlays of the links, on all addresses that are listened on.
// What does not succeed is tried again.
func (e *Endpoint) rebindLocked() {
	if e.serving == nil {
		return
	}
	indices := make(map[string]int)
	for _, l := range e.links {
		if u := l.cfg.Underlay; u != "" && indices[u] == 0 {
			if ifi, err := sysio.InterfaceIndex(u); err == nil {
				indices[u] = ifi
			}
		}
	}
	for at, b := range e.bound {
		if e.listeners[at.addr] == nil || indices[at.underlay] != b.index {
			b.Close()
			delete(e.bound, at)
		}
	}
	for u, index := range indices {
		for addr, free := range e.listeners {
			at := boundTo{u, addr}
			if e.bound[at].Listener != nil {
				continue
			}
			l, err := e.listen(netip.AddrPortFrom(addr.Addr(), addrPort(free.Addr()).Port()), u)
			if err != nil {
				if e.unbound[at] != err.Error() {
					e.unbound[at] = err.Error()
					e.log.Warn("cannot answer by the interface that a peer comes by; trying again", "interface", u, "err", err)
				}
				continue
			}
			delete(e.unbound, at)
			e.bound[at] = bound{l, index}
			e.serve(e.serving, l)
		}
	}
}

// control prepares a listening socket: one that is bound to an underlay shares the port.
func (e *Endpoint) control(underlay string) Control {
	return func(network, address string, c syscall.RawConn) error {
		if e.cfg.Control != nil {
			if err := e.cfg.Control(network, address, c); err != nil {
				return err
			}
		}
		if underlay == "" {
			return nil
		}
		return errors.Join(sharePort(c), setsockopt(c, func(fd int) error { return unix.BindToDevice(fd, underlay) }))
	}
}

// sharePort lets other sockets listen on the same port that allow it too. The unbound socket does
// so when it listens, so that a taken port is an error, also if another Warren has it.
func sharePort(c syscall.RawConn) error {
	return setsockopt(c, func(fd int) error { return unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEPORT, 1) })
}

func setsockopt(c syscall.RawConn, set func(fd int) error) (err error) {
	failed := c.Control(func(fd uintptr) { err = set(int(fd)) })
	return errors.Join(failed, err)
}
