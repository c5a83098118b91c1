package tlslink

import (
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"syscall"
	"time"

	"warren/tunnel"
	"warren/tunnel/internal/remote"
	"warren/tunnel/tun"
)

// protocols are what the TLS handshake says it is for (ALPN), as any HTTPS client and
// server do. What is really spoken is said by the version in the hello inside, when
// both ends have proved their keys.
var protocols = []string{"h2", "http/1.1"}

// oldProtocol is what the first versions offer, and insist on.
const oldProtocol = "warren/1"

// MaxLanes is how many connections one tunnel has at most.
const MaxLanes = 4

// Bounds of [LinkConfig].
const (
	MinKeepalive = 20 * time.Millisecond
	MinDeadAfter = 50 * time.Millisecond
	MaxDeadAfter = 10 * time.Minute
)

// Control prepares a socket before it is bound or connected, as
// [net.Dialer.Control] does: it marks it, or ties it to an interface.
type Control func(network, address string, c syscall.RawConn) error

// Config is what all links of a router share.
type Config struct {
	Certificate *tls.Certificate // the router's own, see [Endpoint.SetCertificate]; nil if all peers share secrets with it
	Identity    tunnel.Identity  // who we are to peers that share a secret; must stay the same over restarts
	Control     Control          // for all sockets; may be nil
	// Now is the clock by which keys get old and peers are silent. It should go on while
	// the machine sleeps, and is not asked for dates. nil is [time.Now], which stops then.
	Now    func() time.Time
	Resume *EndpointHandover // what the program before has left; nil: nothing
	Logger *slog.Logger      // nil discards
}

// Trust says how a peer proves who it is. Exactly one of the three is set. Of several
// fingerprints or secrets any one will do.
type Trust struct {
	Fingerprints [][32]byte // SHA-256 of certificates of the peer (DER), whose dates don't matter

	Secrets []Secret // this end offers the first, and the next ones to a peer that does not know it

	CA       *x509.CertPool // who signs the peer's certificate, which must be in date
	PeerName string         // a DNS name in it, or its common name if it has no alternative names
}

// Secret is a shared secret.
type Secret struct {
	Name string // where it is kept: by that a session outlives a change of what is there
	Key  []byte // SecretLen bytes that only the two ends have
	// Invited is set of the last secret alone: see [tunnel.MeetingKind].
	Invited tunnel.Invited
}

// SecretLen is the length of a shared secret in bytes.
const SecretLen = 32

func (t *Trust) check() error {
	ways := 0
	if len(t.Fingerprints) > 0 {
		ways++
	}
	if len(t.Secrets) > 0 {
		ways++
	}
	for i, s := range t.Secrets {
		if s.Invited != 0 && i+1 < len(t.Secrets) {
			return errors.New("the secret of an invitation is not the last")
		}
		if len(s.Key) != SecretLen {
			return fmt.Errorf("the shared secret has %d bytes: it must have %d", len(s.Key), SecretLen)
		}
		if bytes.Count(s.Key, s.Key[:1]) == SecretLen {
			return errors.New("the shared secret is one byte repeated: make one with `warren keygen --secret FILE`")
		}
	}
	if t.CA != nil {
		ways++
		if t.PeerName == "" {
			return errors.New("a CA needs a peer name: without it, whoever the CA signs for is this peer")
		}
	}
	if ways != 1 {
		return fmt.Errorf("%d ways to trust the peer: set exactly one of fingerprint, secret and CA", ways)
	}
	return nil
}

// Device is the interface at this end of a tunnel; [tun.Device] is one, and says
// what the methods do.
type Device interface {
	Name() string
	MTU() int
	Queues() int
	Offload() tun.Offload
	SetOffload(tun.Offload) error
	SetCarrier(up bool) error
	Wait(queue int) error
	TryRead(queue int, p []byte) (int, error)
	Write(frame []byte) error
	Close() error
}

// Paths follows the kernel's ways for connections. Follow calls changed, from any goroutine, when
// the way from local to remote is lost, so that what is sent gets nowhere, or is another, with
// words for the operator; a local address that is not valid is the one that the kernel
// chooses. changed does not block. stop ends that.
type Paths interface {
	Follow(local, remote netip.AddrPort, changed func(lost bool, why string)) (stop func())
}

// LinkConfig is one tunnel.
type LinkConfig struct {
	Name    string   // of the peer
	Trust   Trust    //
	Link    uint16   // which of several tunnels to the same peer; the same at both ends
	Remotes []string // host:port; none: wait for the peer to dial
	// RandomOrder has the remotes tried in another order each time, instead of as they are.
	RandomOrder bool
	// ReturnToFirst has the first of the remotes take over when it has been good for a while.
	ReturnToFirst bool
	// ConnectTimeout is how long an attempt at one address may take before the next one is
	// begun beside it; 0 is [remote.DefaultConnectTimeout].
	ConnectTimeout time.Duration
	Control        Control // for this tunnel's sockets, after Config.Control; may be nil
	Underlay       string  // the interface that Control binds them to, if any: a peer that comes by it is answered by it
	Keepalive      time.Duration
	DeadAfter      time.Duration        // at least twice Keepalive
	Paths          Paths                // for this tunnel's connections; may be nil
	Device         Device               // closed when Run returns
	Assign         []netip.Addr         // the addresses that the peer is to have, which its Event says; at most [tunnel.MaxAssigned]
	Events         func(tunnel.Event)   // must not block; may be nil
	Meetings       func(tunnel.Meeting) // of a link with an invitation's secret, from any goroutine; must not block; may be nil
	Resume         *Handover            // the tunnel is up already, as the program before has left it; nil: it is not
	// Heard is set for a tunnel that is carried by another transport too, which the peer is told. It is called,
	// from any goroutine, with what a peer that does so as well has received by that (see [Link.Tell]). It must not block.
	Heard func(tunnel.Received)
	// Lost is told the session of this tunnel that has ended because this end has no way to the peer any more, and PeerLost, from any
	// goroutine, a session which has ended so at the peer, as it says: one of another tunnel with it, or of none. Neither may block;
	// may be nil. See lost.go.
	Lost, PeerLost func(tunnel.SessionID)
	// Congestion is the congestion control of the tunnel's connections, as in
	// net.ipv4.tcp_available_congestion_control, or [CongestionAuto], which "" is too.
	Congestion string
}

func (c *LinkConfig) check() error {
	if c.Device == nil {
		return errors.New("no device")
	}
	if err := c.Trust.check(); err != nil {
		return err
	}
	if err := remote.Check(c.Remotes); err != nil {
		return err
	}
	if len(c.Assign) > tunnel.MaxAssigned {
		return fmt.Errorf("%d addresses for the peer: at most %d", len(c.Assign), tunnel.MaxAssigned)
	}
	if c.Keepalive < MinKeepalive {
		return fmt.Errorf("keepalive %v: at least %v", c.Keepalive, MinKeepalive)
	}
	if c.DeadAfter < max(MinDeadAfter, 2*c.Keepalive) || c.DeadAfter > MaxDeadAfter {
		return fmt.Errorf("dead_after %v: at least twice the keepalive of %v, and from %v to %v", c.DeadAfter, c.Keepalive, MinDeadAfter, MaxDeadAfter)
	}
	return nil
}

// CertificateIdentity is the identity, and the fingerprint, of a certificate.
func CertificateIdentity(der []byte) tunnel.Identity { return sha256.Sum256(der) }
