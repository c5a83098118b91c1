package engine

import (
	"io"
	"log/slog"
	"net"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"

	"warren/bgp/judge"

	gobgp "github.com/osrg/gobgp/v4/pkg/packet/bgp"
)

// What a connection that comes from the peer's address does to the one that there is.
//
// Before the session is established that is a collision, and both ends must decide alike: the connection that
// the end with the higher router ID has made stays (RFC 4271 section 6.8). Of two that the peer has made the later
// one stays.
//
// While the session is established RFC 4271 has the new connection closed, and a peer that was restarted, of which
// the news was lost, would wait for this end's hold timer. RFC 4724 section 4.2 takes the new connection for the
// end of the old one, and so anybody who can connect from the peer's address could end a session: any user of the
// peer's router, hosts behind its NAT, and on a LAN more. So the old connection is asked. The kernel of a peer that
// was restarted does not know it, and answers a KEEPALIVE with a reset, which ends it; if nothing answers, it is
// dead too. Both is RFC 4724's case. One that is acknowledged is alive, and RFC 4271's: the new connection gets a
// Cease.
//
// Two connections may cross, so that the session is established on one before the other one is looked at. That is a collision like
// any, and none that the log makes much of.
//
// In either case the new connection must have brought an OPEN with which there could be a session.
const (
	openTimeout  = 5 * time.Second       // for a peer that connects to send its OPEN, plus patience
	answerTime   = 3 * time.Second       // for an established connection to answer, plus patience; no hold time is shorter
	crossTime    = 3 * time.Second       // after the session for a connection to come that the peer made before, plus patience: SYNs get lost
	ackPrecision = 10 * time.Millisecond // of when the kernel says that an acknowledgment came
)

// connection returns what n has of a connection: its state, since when, and the
// connection itself.
func (s *Speaker) connection(n *neighbor) session {
	s.mu.Lock()
	defer s.mu.Unlock()
	if kept := n.session.kept; n.session.away() && !kept.over {
		return session{state: kept.state, since: n.session.since, conn: kept.next}
	}
	return session{state: n.session.state, since: n.session.since, conn: n.session.conn}
}

// awaitOpen waits for the OPEN on conn, from which nothing was read, as long as n has a connection. ok is false if the
// connection is to be closed; the peer is told why, if that is not nil.
func (s *Speaker) awaitOpen(n *neighbor, conn *net.TCPConn) (open *judge.Open, why *judge.Notification, ok bool) {
	deadline := time.Now().Add(n.patience(openTimeout))
	for {
		if s.connection(n).conn == nil {
			return nil, nil, true
		}
		switch o, whole, why := judge.PeekOpen(peek(conn)); {
		case why != nil:
			return nil, why, false
		case whole && o.ASN != n.ASN:
			return nil, &judge.Notification{Code: gobgp.BGP_ERROR_OPEN_MESSAGE_ERROR, Subcode: gobgp.BGP_ERROR_SUB_BAD_PEER_AS, Text: "it says that it is in another AS"}, false
		case whole && o.RouterID == s.cfg.RouterID:
			return nil, &judge.Notification{Code: gobgp.BGP_ERROR_OPEN_MESSAGE_ERROR, Subcode: gobgp.BGP_ERROR_SUB_BAD_BGP_IDENTIFIER, Text: "it has this router's ID"}, false
		case whole:
			return &o, nil, true
		}
		if hungUp(conn) || time.Now().After(deadline) || !pause(n.ctx, readyInterval) {
			return nil, nil, false
		}
	}
}

// peek returns the first message on conn, or what there is of it, and leaves it there.
func peek(conn *net.TCPConn) []byte {
	raw, err := conn.SyscallConn()
	if err != nil {
		return nil
	}
	const longest = 4096
	b, n := make([]byte, longest), 0
	if raw.Control(func(fd uintptr) { n, _, err = unix.Recvfrom(int(fd), b, unix.MSG_PEEK|unix.MSG_DONTWAIT) }) != nil || err != nil {
		return nil
	}
	return b[:n]
}

// collide reports whether a connection that the peer has made, with an OPEN, replaces the one that n has. If not,
// the peer may have to be told why.
func (s *Speaker) collide(n *neighbor, have session, open *judge.Open) (replaces bool, why *judge.Notification) {
	id, up := have.conn.peerID()
	switch {
	case !up && have.state != stateEstablished:
		return have.replacedBy(s.cfg.RouterID.Less(open.RouterID)), nil
	case up && s.answers(n, have.conn):
		if why = collision("the session answers"); id != open.RouterID {
			why = collision("it has the router ID " + open.RouterID.String() + ", and the session is with " + id.String())
		}
	}
	return why == nil, why
}

// replacedBy decides between a connection without a session and a later one from a peer with a higher router ID or not.
func (have session) replacedBy(higherID bool) bool { return !have.conn.dialed || higherID }

func collision(why string) *judge.Notification {
	return &judge.Notification{Code: gobgp.BGP_ERROR_CEASE, Subcode: gobgp.BGP_ERROR_SUB_CONNECTION_COLLISION_RESOLUTION, Text: why}
}

// answers reports whether the far end of an established connection still knows it. It has it say so, and waits for that
// as long as the connection is n's, for answerTime at most.
func (s *Speaker) answers(n *neighbor, c *peerConn) bool {
	tcp := c.tcp.Load()
	if tcp == nil {
		return false
	}
	began := time.Now()
	before, err := tcpInfo(tcp)
	if err != nil {
		return false
	}
	if before.Unacked == 0 && before.Notsent_bytes == 0 { // else that is what has to be answered
		s.work.Go(func() { c.say(tcp) })
	}
	for deadline := began.Add(n.patience(answerTime)); time.Now().Before(deadline) && s.connection(n).conn == c; {
		now, err := tcpInfo(tcp)
		if err != nil {
			return false
		}
		// A peer that does not read acknowledges nothing new when it answers probes of its window, so when it did
		// so last counts too.
		answered := time.Now().Add(-time.Duration(now.Last_ack_recv) * time.Millisecond)
		if now.Bytes_acked > before.Bytes_acked || now.Bytes_received > before.Bytes_received || answered.After(began.Add(ackPrecision)) {
			return true
		}
		if !pause(n.ctx, readyInterval) {
			return true // nothing is to be replaced any more
		}
	}
	return false
}

func tcpInfo(conn *net.TCPConn) (info *unix.TCPInfo, err error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return nil, err
	}
	if e := raw.Control(func(fd uintptr) { info, err = unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO) }); e != nil {
		return nil, e
	}
	return info, err
}

// turnAway refuses a connection that may be somebody else's than the peer's, which the operator is told if the other end is.
func (s *Speaker) turnAway(n *neighbor, conn *net.TCPConn, why *judge.Notification) {
	if why != nil {
		n.turnedAway.Do(func() {
			s.log.Warn("a connection from the peer's address to BGP is refused: another program or user of its router may have made it, or a host that comes by its address",
				slog.String("peer", n.Name), slog.String("reason", why.Text))
		})
	}
	s.refuse(conn, why)
}

// refuse closes a connection that the peer has made, and tells it why, if that is not nil. What it has sent is read
// before, as a connection that is closed with bytes unread is reset, and the peer would lose the NOTIFICATION.
func (s *Speaker) refuse(conn *net.TCPConn, why *judge.Notification) {
	if why == nil {
		conn.Close()
		return
	}
	s.work.Go(func() { part(conn, why) })
}

// turnedAwayLogged bounds how often that is logged, per neighbor.
const turnedAwayLogged = time.Minute

// part sends the last message on a connection, and closes it when the peer has had time to read it.
func part(conn *net.TCPConn, last *judge.Notification) {
	defer conn.Close()
	if conn.SetDeadline(time.Now().Add(notifyTimeout)) != nil {
		return
	}
	if _, err := conn.Write(last.Bytes()); err == nil && conn.CloseWrite() == nil {
		_, _ = io.Copy(io.Discard, io.LimitReader(conn, mostUnread))
	}
}

// mostUnread bounds what is read of who sends more.
const mostUnread = 64 << 10

// crossed reports whether a connection that came at a time, and is of a router with that ID, may be one that the peer of this one made
// before it had the session, which that peer may learn of so much later.
func (c *peerConn) crossed(id netip.Addr, came time.Time, later time.Duration) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.up.IsZero() {
		return false
	}
	open, _ := c.judge.PeerOpen()
	return open.RouterID == id && came.Before(c.up.Add(later))
}

// peerID is the router ID in the peer's OPEN, and whether the session is established on the connection and goes on.
func (c *peerConn) peerID() (id netip.Addr, up bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.judge == nil { // of a handshake that GoBGP takes no part in
		return id, false
	}
	open, _ := c.judge.PeerOpen()
	over := c.ended != nil || c.notified || c.refused.Load() || c.closed.Load()
	return open.RouterID, c.judge.Established() && !over
}
