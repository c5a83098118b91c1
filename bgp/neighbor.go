package bgp

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/osrg/gobgp/v4/api"
	"golang.org/x/time/rate"
)

// Timers, in seconds. The tunnel finds a dead peer by itself and its neighbor
// is deleted then, so the hold time is only a second line of defence; it must
// outlast a busy peer. Retries are fast because nothing but the one peer is at
// the other end of a tunnel.
const (
	bgpPort       = 179
	connectRetry  = 1
	holdTime      = 9
	keepalive     = 3
	idleAfterDown = 1
)

// Errors that callers may test for.
var (
	ErrUnknownNeighbor = errors.New("no such neighbor")
	ErrNeighborExists  = errors.New("neighbor exists already")
)

// A Neighbor is the BGP side of one peer.
type Neighbor struct {
	Name      string // the peer's name
	Interface string // the tunnel's interface; BGP's sockets are bound to it

	// The two ends of the session, of one family. A link-local address gets
	// Interface as its zone. PeerAddr must differ from every other neighbor's
	// even without the zone: GoBGP tells paths apart by it.
	LocalAddr, PeerAddr netip.Addr

	// Addresses is what else the interface has. One of them is the next hop of
	// prefixes of the other family than the session's, where that needs one.
	Addresses []netip.Prefix

	ASN uint32 // the peer's; equal to Config.ASN it makes the session iBGP

	Import, Export Policy

	// MaxPrefixes is how many prefixes of each family are accepted; 0 means
	// no limit. The ones that came first win, later ones wait for room.
	MaxPrefixes int

	// HardMaxPrefixes is how many prefixes of each family the peer may announce,
	// accepted or not; above it the session ends (RFC 4486, Maximum Number of
	// Prefixes Reached) and is tried again after a pause that grows. 0 means no
	// limit.
	HardMaxPrefixes int

	// RTT is the round trip of the tunnel, 0 if it is not known. On a long path
	// the peer is given more time.
	RTT time.Duration
}

// normalize validates n and puts zones and families right.
func (n *Neighbor) normalize() error {
	if n.Name == "" {
		return errors.New("no name")
	}
	if n.ASN == 0 || n.ASN == 1<<32-1 {
		return fmt.Errorf("asn %d: must be from 1 to 4294967294", n.ASN)
	}
	if err := checkLimits(n.MaxPrefixes, n.HardMaxPrefixes); err != nil {
		return err
	}
	for _, a := range []*netip.Addr{&n.LocalAddr, &n.PeerAddr} {
		*a = a.Unmap()
		if !a.IsValid() || a.IsUnspecified() || a.IsMulticast() {
			return fmt.Errorf("address %s: must be a unicast address", a)
		}
		if *a = a.WithZone(""); a.IsLinkLocalUnicast() && a.Is6() {
			if n.Interface == "" {
				return fmt.Errorf("address %s: a link-local address needs an interface", a)
			}
			*a = a.WithZone(n.Interface)
		}
	}
	if n.LocalAddr.Is4() != n.PeerAddr.Is4() {
		return fmt.Errorf("addresses %s and %s: must be of one family", n.LocalAddr, n.PeerAddr)
	}
	if n.LocalAddr == n.PeerAddr {
		return fmt.Errorf("address %s: is both ends' address; is `link` or the key the same as the peer's by mistake?", n.LocalAddr)
	}
	return errors.Join(n.Import.validate(), n.Export.validate())
}

func checkLimits(maxPrefixes, hardMaxPrefixes int) error {
	if maxPrefixes < 0 {
		return fmt.Errorf("max_prefixes %d: must be 0 (no limit) or more", maxPrefixes)
	}
	if hardMaxPrefixes < 0 || hardMaxPrefixes > 0 && (maxPrefixes == 0 || hardMaxPrefixes < maxPrefixes) {
		return fmt.Errorf("hard_max_prefixes %d: must be 0 (no limit), or max_prefixes (%d) or more", hardMaxPrefixes, maxPrefixes)
	}
	return nil
}

// A neighbor is a Neighbor at work. Speaker.mu guards all of it but what is
// marked as fixed.
type neighbor struct {
	Neighbor            // fixed, but for Import, Export and MaxPrefixes
	key      netip.Addr // fixed: PeerAddr without zone, how GoBGP names it
	otherHop netip.Addr // fixed: see otherNextHop
	added    time.Time  // fixed: events before this concern a predecessor

	// ctx ends what runs for the neighbor: its listener, its dials.
	ctx    context.Context
	cancel context.CancelFunc
	work   sync.WaitGroup

	session    session
	routes     int            // how many best paths are its
	released   chan struct{}  // capacity 1: what held the neighbor back is gone
	logged     rate.Sometimes // guards itself: what is malformed goes to the log
	toldInside atomic.Bool    // see refused

	closed chan struct{} // closed when GoBGP has forgotten the neighbor
	down   chan struct{} // closed when a neighbor being closed has left Established
	isDown bool
}

// AddNeighbor starts a session with n and returns at once; it waits only for
// a neighbor of the same name or address that is still being closed. If ctx is
// done before that, its error is returned; Events tells when to try again.
func (s *Speaker) AddNeighbor(ctx context.Context, n Neighbor) error {
	if err := n.normalize(); err != nil {
		return fmt.Errorf("bgp: add neighbor %s: %w", n.Name, err)
	}
	nb := s.newNeighbor(n)
	if err := s.reserve(ctx, nb); err != nil {
		return fmt.Errorf("bgp: add neighbor %s: %w", n.Name, err)
	}
	s.opMu.Lock()
	defer s.opMu.Unlock()
	err := s.writePolicies(nb)
	if err == nil {
		renewZone(nb.ctx, n.LocalAddr)
		s.listen(nb)
		err = s.server.AddPeer(ctx, &api.AddPeerRequest{Peer: s.apiPeer(n)})
	}
	if err != nil {
		s.mu.Lock()
		delete(s.neighbors, n.Name)
		delete(s.byAddr, nb.key)
		s.mu.Unlock()
		nb.stop()
		return fmt.Errorf("bgp: add neighbor %s: %w", n.Name, errors.Join(err, s.policies.forget(nb.key)))
	}
	s.notify()
	return nil
}

func (s *Speaker) newNeighbor(n Neighbor) *neighbor {
	nb := &neighbor{
		Neighbor: n,
		key:      n.PeerAddr.WithZone(""),
		otherHop: otherNextHop(n.Addresses, n.LocalAddr, s.cfg.RouterID),
		session:  session{state: stateIdle, since: time.Now()},
		released: make(chan struct{}, 1),
		logged:   rate.Sometimes{First: 1, Interval: malformedLogged},
		down:     make(chan struct{}),
		closed:   make(chan struct{}),
	}
	nb.ctx, nb.cancel = context.WithCancel(s.ctx)
	return nb
}

// stop ends what runs for n and waits for it.
func (n *neighbor) stop() {
	n.cancel()
	n.work.Wait()
}

// reserve enters n under its name and address. If the last neighbor with that
// address is still being closed, it waits for that.
func (s *Speaker) reserve(ctx context.Context, n *neighbor) error {
	for {
		s.mu.Lock()
		if _, ok := s.neighbors[n.Name]; ok {
			s.mu.Unlock()
			return ErrNeighborExists
		}
		if other, ok := s.byAddr[n.key]; ok {
			s.mu.Unlock()
			return fmt.Errorf("peer address %s is also that of peer %s: give each tunnel an address of its own (another `link`, or `address` and `peer_address`)", n.key, other.Name)
		}
		old, closing := s.closing[n.key]
		if !closing {
			n.added = time.Now()
			s.neighbors[n.Name], s.byAddr[n.key] = n, n
			s.mu.Unlock()
			return nil
		}
		s.mu.Unlock()
		select {
		case <-old.closed:
		case <-ctx.Done():
			return ctx.Err()
		case <-s.ctx.Done():
			return errors.New("the speaker has stopped")
		}
	}
}

// apiPeer is n in GoBGP's terms.
func (s *Speaker) apiPeer(n Neighbor) *api.Peer {
	var families []*api.AfiSafi
	for _, f := range families4and6 {
		families = append(families, &api.AfiSafi{Config: &api.AfiSafiConfig{Family: f.api(), Enabled: true}})
	}
	return &api.Peer{
		Conf: &api.PeerConf{
			NeighborAddress: n.PeerAddr.String(),
			PeerAsn:         n.ASN,
			Description:     n.Name,
			AllowOwnAsn:     255, // the judge withdraws what has looped
		},
		Timers: &api.Timers{Config: &api.TimersConfig{
			ConnectRetry:           connectRetry,
			HoldTime:               holdTime,
			KeepaliveInterval:      keepalive,
			IdleHoldTimeAfterReset: idleAfterDown,
		}},
		Transport: &api.Transport{
			LocalAddress:  n.LocalAddr.String(),
			BindInterface: n.Interface,
			PassiveMode:   true, // see dial.go
		},
		// Both families are named because GoBGP would offer only the one of
		// the session's addresses.
		AfiSafis: families,
	}
}

// SetPolicy gives a neighbor other filters and other limits. The session stays,
// and routes that pass both before and after stay too. A neighbor that is held
// back for too many prefixes is tried again at once.
func (s *Speaker) SetPolicy(_ context.Context, name string, imp, exp Policy, maxPrefixes, hardMaxPrefixes int) error {
	if err := errors.Join(imp.validate(), exp.validate(), checkLimits(maxPrefixes, hardMaxPrefixes)); err != nil {
		return fmt.Errorf("bgp: set policy of %s: %w", name, err)
	}
	s.opMu.Lock()
	defer s.opMu.Unlock()
	s.mu.Lock()
	n, ok := s.neighbors[name]
	if !ok {
		s.mu.Unlock()
		return fmt.Errorf("bgp: set policy of %s: %w", name, ErrUnknownNeighbor)
	}
	n.Import, n.Export, n.MaxPrefixes, n.HardMaxPrefixes = imp, exp, maxPrefixes, hardMaxPrefixes
	n.release()
	conn, policy := n.session.conn, s.judgePolicyLocked(n)
	s.rib.touch(n)
	s.mu.Unlock()
	if conn != nil {
		conn.setPolicy(policy, nil)
	}
	s.notify()
	if err := s.writePolicies(n); err != nil {
		return fmt.Errorf("bgp: set policy of %s: %w", name, err)
	}
	return nil
}
