package bgp

import (
	"encoding/binary"
	"net"
	"net/netip"
	"sync/atomic"

	gobgp "github.com/osrg/gobgp/v4/pkg/packet/bgp"
)

// openSeen is who the peer says it is.
type openSeen struct {
	asn uint32
	id  netip.Addr
}

// A tapConn is a connection that the peer made. It shows this package the
// messages that lead to a session, because GoBGP drops what they say when it
// refuses them: the AS number and router ID of an OPEN, and the NOTIFICATION
// that answers our own. Nothing is changed on the way.
type tapConn struct {
	*net.TCPConn
	done atomic.Bool
	buf  []byte // the start of a message; only Read's goroutine uses it
	see  func(msgType uint8, body []byte)
}

// tapLimit is the longest message before a session is up (RFC 8654 section 4).
const tapLimit = 4096

func (s *Speaker) tap(n *neighbor, conn *net.TCPConn) net.Conn {
	return &tapConn{TCPConn: conn, see: func(t uint8, body []byte) { s.onMessage(n, t, body) }}
}

// Read implements net.Conn.
func (c *tapConn) Read(b []byte) (int, error) {
	n, err := c.TCPConn.Read(b)
	if n > 0 && !c.done.Load() {
		c.feed(b[:n])
	}
	return n, err
}

// feed collects bytes and shows whole messages, until one that is neither OPEN
// nor NOTIFICATION or that is not well-formed.
func (c *tapConn) feed(b []byte) {
	c.buf = append(c.buf, b...)
	for len(c.buf) >= gobgp.BGP_HEADER_LENGTH {
		length, msgType := int(binary.BigEndian.Uint16(c.buf[16:])), c.buf[18]
		isOpen, isNotification := msgType == gobgp.BGP_MSG_OPEN, msgType == gobgp.BGP_MSG_NOTIFICATION
		if length < gobgp.BGP_HEADER_LENGTH || length > tapLimit || !isOpen && !isNotification {
			c.finish()
			return
		}
		if len(c.buf) < length {
			return
		}
		c.see(msgType, c.buf[gobgp.BGP_HEADER_LENGTH:length])
		if isNotification {
			c.finish()
			return
		}
		c.buf = c.buf[length:]
	}
}

func (c *tapConn) finish() {
	c.done.Store(true)
	c.buf = nil
}

// onMessage takes an OPEN or NOTIFICATION that n sent on a connection it made.
func (s *Speaker) onMessage(n *neighbor, msgType uint8, body []byte) {
	s.mu.Lock()
	switch msgType {
	case gobgp.BGP_MSG_OPEN:
		if seen, ok := parseOpen(body); ok {
			n.session.seen = seen
		}
	case gobgp.BGP_MSG_NOTIFICATION:
		if len(body) >= 2 {
			n.explainNotification(false, body[0], body[1], n.session.seen)
		}
	}
	s.mu.Unlock()
	s.logProblems()
}

// parseOpen reads the AS number and the router ID of an OPEN's body (RFC 4271
// 4.2), the former from the 4-octet capability if there is one (RFC 6793).
func parseOpen(body []byte) (openSeen, bool) {
	var open gobgp.BGPOpen
	if err := open.DecodeFromBytes(body); err != nil {
		return openSeen{}, false
	}
	seen := openSeen{asn: uint32(open.MyAS), id: open.ID}
	for _, param := range open.OptParams {
		caps, ok := param.(*gobgp.OptionParameterCapability)
		if !ok {
			continue
		}
		for _, c := range caps.Capability {
			if as, ok := c.(*gobgp.CapFourOctetASNumber); ok {
				seen.asn = as.CapValue
			}
		}
	}
	return seen, true
}
