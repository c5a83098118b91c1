// Package ping asks the peer at the far end of a tunnel for signs of life with ICMP echoes
// (RFC 792, RFC 4443), out of the tunnel's interface and no other.
package ping

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"time"

	"golang.org/x/net/icmp"
	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
	"golang.org/x/sys/unix"
)

const (
	// inFlight is how many echoes may be without a reply before the oldest is
	// given up.
	inFlight = 64
	// tokenLen is the length of the random bytes in an echo. Whoever has not
	// seen it cannot make up its reply.
	tokenLen = 16

	protoICMP, protoICMPv6 = 1, 58 // IANA protocol numbers
)

// Answer is what came of the echoes: a reply and its round trip, or an error
// after which the socket is of no more use.
type Answer struct {
	RTT time.Duration
	Err error
}

// Pinger sends echoes to one address through one interface, and takes replies
// from there only. It has a socket and a goroutine.
type Pinger struct {
	conn    *net.IPConn
	v6      bool
	id      uint16
	replies chan Answer
	closed  chan struct{}

	mu   sync.Mutex
	seq  uint16
	sent [inFlight]echo // by seq % inFlight
}

// echo is one that waits for its reply. A zero at: it does not.
type echo struct {
	seq   uint16
	token [tokenLen]byte
	at    time.Time
}

// Open opens the socket, bound to the interface of that name; link-local addresses
// need no zone for that. Without a local address the kernel chooses one of the
// interface's. It needs CAP_NET_RAW.
func Open(ifname string, local, peer netip.Addr) (*Pinger, error) {
	conn, err := dial(ifname, local, peer)
	if err != nil {
		return nil, err
	}
	p := &Pinger{conn: conn, v6: peer.Is6(), replies: make(chan Answer), closed: make(chan struct{})}
	if err := p.begin(); err != nil {
		conn.Close()
		return nil, failed(peer, err)
	}
	go p.receive()
	return p, nil
}

// dial opens a raw socket of ICMP.
func dial(ifname string, local, peer netip.Addr) (*net.IPConn, error) {
	d := net.Dialer{
		Control: func(_, _ string, c syscall.RawConn) error {
			var bound error
			err := c.Control(func(fd uintptr) { bound = unix.BindToDevice(int(fd), ifname) })
			return errors.Join(err, bound)
		},
	}
	if local.IsValid() {
		d.LocalAddr = &net.IPAddr{IP: local.AsSlice(), Zone: local.Zone()}
	}
	network := "ip4:icmp"
	if peer.Is6() {
		network = "ip6:ipv6-icmp"
	}
	// The addresses are literal, so nothing is resolved and nothing blocks.
	conn, err := d.DialContext(context.Background(), network, peer.String())
	if errors.Is(err, unix.EPERM) {
		err = fmt.Errorf("%w (the daemon needs CAP_NET_RAW)", err)
	}
	if err != nil {
		return nil, failed(peer, err)
	}
	return conn.(*net.IPConn), nil
}

func failed(peer netip.Addr, err error) error {
	return fmt.Errorf("cannot ping %s: %w", peer.WithZone(""), err)
}

// begin has the kernel hand over echo replies only, and chooses an identifier.
func (p *Pinger) begin() error {
	var id [2]byte
	if _, err := rand.Read(id[:]); err != nil {
		return err
	}
	p.id = uint16(id[0])<<8 | uint16(id[1])
	return onlyReplies(p.conn, p.v6)
}

// Send sends an echo.
func (p *Pinger) Send() error {
	b, err := p.next(time.Now())
	if err != nil {
		return err
	}
	_, err = p.conn.Write(b)
	return err
}

// next makes the next echo and remembers it.
func (p *Pinger) next(now time.Time) ([]byte, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.seq++
	e := &p.sent[p.seq%inFlight]
	e.seq, e.at = p.seq, now
	if _, err := rand.Read(e.token[:]); err != nil {
		return nil, err
	}
	m := icmp.Message{Type: ipv4.ICMPTypeEcho, Body: &icmp.Echo{ID: int(p.id), Seq: int(e.seq), Data: e.token[:]}}
	if p.v6 {
		m.Type = ipv6.ICMPTypeEchoRequest // the kernel fills in the checksum
	}
	return m.Marshal(nil)
}

// receive runs until the socket is closed or fails.
func (p *Pinger) receive() {
	buf := make([]byte, 256) // more than an echo has
	for {
		// Unlike Read, this leaves out the IPv4 header.
		n, _, err := p.conn.ReadFrom(buf)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		a := Answer{Err: err}
		if err == nil {
			var ok bool
			if a.RTT, ok = p.check(buf[:n], time.Now()); !ok {
				continue
			}
		}
		select {
		case p.replies <- a:
		case <-p.closed:
			return
		}
		if err != nil {
			return
		}
	}
}

// check reports whether b is the first reply to one of our echoes.
func (p *Pinger) check(b []byte, now time.Time) (rtt time.Duration, ok bool) {
	proto := protoICMP
	if p.v6 {
		proto = protoICMPv6
	}
	m, err := icmp.ParseMessage(proto, b)
	if err != nil || m.Code != 0 || m.Type != ipv4.ICMPTypeEchoReply && m.Type != ipv6.ICMPTypeEchoReply {
		return 0, false
	}
	body, isEcho := m.Body.(*icmp.Echo)
	if !isEcho || body.ID != int(p.id) {
		return 0, false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	e := &p.sent[body.Seq%inFlight]
	if e.at.IsZero() || int(e.seq) != body.Seq || string(e.token[:]) != string(body.Data) {
		return 0, false
	}
	rtt, e.at = now.Sub(e.at), time.Time{}
	return rtt, true
}

// Answers delivers what comes of the echoes. Who does not take it keeps the pinger
// from receiving more.
func (p *Pinger) Answers() <-chan Answer { return p.replies }

// Close ends the pinger. Only one call is allowed.
func (p *Pinger) Close() {
	close(p.closed)
	p.conn.Close()
}
