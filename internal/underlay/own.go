package underlay

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Swallowed is what has come out of one interface of a tunnel though it was a
// transport's.
type Swallowed struct {
	Interface string
	Packets   uint64 // frames, each of several segments maybe
	Last      time.Time
	Remote    netip.AddrPort // where the last was to go
	Remarked  bool           // the guard has the kernel mark such packets again
	Err       string         // why it cannot; empty if it can
}

// Own reports whether an IP packet that came out of the interface of a tunnel is one of
// the transports' own, which must not be carried. It counts it, and has the guard do
// something about it. It may be called for each packet, from any goroutine.
func (g *Guard) Own(ifname string, packet []byte) bool {
	if !g.outer.mayBe(packet) {
		return false
	}
	own, first, remote := g.outer.owns(ifname, packet)
	if own && first {
		g.log.Error("a packet of the transports came out of a tunnel and was dropped: an output rule of the firewall replaces its mark, "+
			"most likely by that of its connection (meta mark set ct mark, CONNMARK --restore-mark); have it leave packets with the mark alone",
			"interface", ifname, "remote", remote, "mark", fmt.Sprintf("%#x/%#x", Mark, MarkMask))
	}
	if own {
		g.wake()
	}
	return own
}

// ListensUDP tells the guard a port that a UDP socket of a transport, or the kernel's WireGuard, sends from and is
// answered at. What Control cannot know is told so: a port that the kernel chose, and a socket that this process
// has not opened. While an underlay interface has strict reverse path filtering, packets to the port come in from a
// moment later on. It does not block, and may be called before Run, whose first rules then have the port. 0 says nothing.
func (g *Guard) ListensUDP(port uint16) {
	g.listens(unix.IPPROTO_UDP, netip.AddrPortFrom(netip.IPv4Unspecified(), port))
}

// ListensTCP is that for the address and port of a listening TCP socket.
func (g *Guard) ListensTCP(local netip.AddrPort) { g.listens(unix.IPPROTO_TCP, local) }

// LeavesUDP says that no transport has a UDP port any more. Call it before another program can have the port.
func (g *Guard) LeavesUDP(port uint16) { g.forget(unix.IPPROTO_UDP, port) }

// Swallowed returns what came out of tunnels though it was a transport's, by interface.
func (g *Guard) Swallowed() []Swallowed {
	o := g.outer
	o.mu.Lock()
	defer o.mu.Unlock()
	all := make([]Swallowed, 0, len(o.swallowed))
	for _, s := range o.swallowed {
		one := *s
		one.Remarked, one.Err = o.remark.done, o.remark.err
		all = append(all, one)
	}
	slices.SortFunc(all, func(a, b Swallowed) int { return strings.Compare(a.Interface, b.Interface) })
	return all
}

// noteEnd remembers where a TCP socket is about to be connected to or to listen. One that
// was accepted is known by its port, as the listener.
func (g *Guard) noteEnd(network, address string, c syscall.RawConn) {
	ap, ok := addrPortOf(address)
	if !ok || ap.Port() == 0 || !strings.HasPrefix(network, "tcp") || localPort(c) != 0 {
		return
	}
	e := end{ipProto: unix.IPPROTO_TCP, port: ap.Port()}
	if a := ap.Addr().Unmap(); !a.IsUnspecified() && !isLocal(a) {
		e.addr = a.WithZone("")
	}
	g.outer.add(e)
}

func localPort(c syscall.RawConn) (port int) {
	_ = c.Control(func(fd uintptr) {
		switch sa, _ := unix.Getsockname(int(fd)); sa := sa.(type) {
		case *unix.SockaddrInet4:
			port = sa.Port
		case *unix.SockaddrInet6:
			port = sa.Port
		}
	})
	return port
}
