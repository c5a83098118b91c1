package engine

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"golang.org/x/sys/unix"

	"warren/bgp/judge"

	gobgp "github.com/osrg/gobgp/v4/pkg/packet/bgp"
)

// The handshake of a connection that continues a session whose last one was lost.
// GoBGP takes no part in it. This end's OPEN is GoBGP's of the first connection.

// errOther says that a session with the peer as it is now is not what GoBGP has agreed
// on.
var errOther = errors.New("the peer came back with other capabilities, another hold time, AS or router ID")

// resume does the handshake on conn, and goes on with the session if that succeeds.
// next stands for conn.
func (s *Speaker) resume(n *neighbor, c *peerConn, kept *retention, next *peerConn, j *judge.Session) {
	conn := next.tcp.Load()
	err := s.shakeHands(n, c, kept, conn, j)
	if err == nil && s.attach(n, c, kept, next, j) {
		return
	}
	conn.Close()
	s.mu.Lock()
	if n.session.kept != kept || kept.next != next {
		s.mu.Unlock()
		return
	}
	kept.next = nil
	kept.failed++
	again := restartDelay << min(kept.failed-1, maxRestarts-1)
	if errors.Is(err, errOther) {
		n.setProblem(told, "%v", err)
		s.giveUpLocked(n, kept)
	}
	s.mu.Unlock()
	s.logProblems()
	s.notify()
	if !pause(n.ctx, again) {
		return
	}
	s.mu.Lock()
	if s.wantsConnectionLocked(n) {
		s.startDialLocked(n)
	}
	s.mu.Unlock()
}

// shakeHands exchanges OPENs and KEEPALIVEs. It reads message by message, as what
// comes behind them is for the judge that has the routes.
func (s *Speaker) shakeHands(n *neighbor, c *peerConn, kept *retention, conn *net.TCPConn, j *judge.Session) error {
	stop := context.AfterFunc(n.ctx, func() { conn.Close() })
	defer stop()
	if err := errors.Join(s.setTTL(n, conn), conn.SetDeadline(time.Now().Add(n.patience(openTimeout)))); err != nil {
		return err
	}
	c.mu.Lock()
	open := j.ToPeer(nil, c.open)
	c.mu.Unlock()
	if _, err := conn.Write(open); err != nil {
		return err
	}
	for !j.Established() {
		m, err := readMessage(conn)
		if err != nil {
			return err
		}
		if err := s.shake(n, c, kept, conn, j, m); err != nil {
			return err
		}
	}
	return conn.SetDeadline(time.Time{})
}

// shake takes one message of the peer's in the handshake, and answers it.
func (s *Speaker) shake(n *neighbor, c *peerConn, kept *retention, conn *net.TCPConn, j *judge.Session, m []byte) error {
	_, knew := j.PeerOpen()
	out, err := j.FromPeer(nil, m)
	var refusal *judge.Notification
	if errors.As(err, &refusal) {
		s.mu.Lock()
		n.setProblem(told, "the peer sent what no session survives: %s", refusal.Text)
		s.mu.Unlock()
		_, writeErr := conn.Write(refusal.Bytes())
		return errors.Join(err, writeErr)
	}
	if b := notificationIn(out); len(b) >= 2 {
		s.mu.Lock()
		n.explainNotification(false, b[0], b[1], n.session.seen)
		s.mu.Unlock()
		return fmt.Errorf("bgp: NOTIFICATION %d/%d", b[0], b[1])
	}
	if _, knows := j.PeerOpen(); !knows || knew {
		return nil
	}
	c.mu.Lock()
	continues := j.Continues(c.judge)
	c.mu.Unlock()
	if !continues {
		return errOther
	}
	s.mu.Lock()
	kept.state = stateOpenConfirm
	s.mu.Unlock()
	_, err = conn.Write(keepaliveMessage)
	return err
}

// setTTL does what GoBGP does with the connections that it begins a session on.
func (s *Speaker) setTTL(n *neighbor, conn *net.TCPConn) error {
	ttl := 1
	switch {
	case n.TTLSecurity:
		ttl = 255
	case n.ASN == s.cfg.ASN:
		return nil
	}
	raw, err := conn.SyscallConn()
	if err != nil {
		return err
	}
	level, option := unix.IPPROTO_IP, unix.IP_TTL
	if n.LocalAddr.Is6() {
		level, option = unix.IPPROTO_IPV6, unix.IPV6_UNICAST_HOPS
	}
	var failed error
	err = raw.Control(func(fd uintptr) { failed = unix.SetsockoptInt(int(fd), level, option, ttl) })
	return errors.Join(err, failed)
}

// readMessage reads one message of at most 4096 octets, whatever is in it.
func readMessage(r io.Reader) ([]byte, error) {
	const longest = 4096
	m := make([]byte, gobgp.BGP_HEADER_LENGTH, longest)
	if _, err := io.ReadFull(r, m); err != nil {
		return nil, err
	}
	n := int(binary.BigEndian.Uint16(m[16:]))
	if n <= len(m) || n > longest {
		return m, nil // the judge says what is wrong with it, if anything
	}
	_, err := io.ReadFull(r, m[len(m):n])
	return m[:n], err
}
