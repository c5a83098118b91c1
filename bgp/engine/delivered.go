package engine

import (
	"net"

	"golang.org/x/sys/unix"
)

// A way that comes back is used when both ends have all routes (package agent). That the peer has this
// end's there is no message for in BGP, so what TCP knows is taken: once the End-of-RIB markers
// are written, everything is at the peer's host when it has acknowledged all that was sent.

// mark takes note that the End-of-RIB marker of a family was written to a connection.
func (c *peerConn) mark(tcp *net.TCPConn, f family) {
	c.mu.Lock()
	if c.tcp.Load() == tcp {
		c.marked[f] = true
	}
	c.mu.Unlock()
	c.see(observation{marked: true})
}

// delivered reports whether the peer's host has acknowledged the End-of-RIB markers of all families of
// the session, and so everything before them. Once true it stays so for as long as the connection is
// there. Without graceful restart at both ends no marker is sent, and it is false.
func (c *peerConn) delivered() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	tcp := c.tcp.Load()
	if tcp == nil || c.closed.Load() {
		return false
	}
	if c.arrived {
		return true
	}
	for f, is := range c.judge.Negotiated() {
		if is && !c.marked[f] {
			return false
		}
	}
	c.arrived = c.marked != [2]bool{} && acknowledged(tcp)
	return c.arrived
}

// acknowledged reports whether the far end's host has acknowledged all that was written: what the
// kernel has not sent counts as well as what is on the way (net/ipv4/tcp.c, tcp_ioctl, SIOCOUTQ).
func acknowledged(tcp *net.TCPConn) bool {
	raw, err := tcp.SyscallConn()
	if err != nil {
		return false
	}
	queued := -1
	err = raw.Control(func(fd uintptr) {
		if n, err := unix.IoctlGetInt(int(fd), unix.SIOCOUTQ); err == nil {
			queued = n
		}
	})
	return err == nil && queued == 0
}
