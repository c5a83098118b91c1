package bgp

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
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
	// the peer is given more time. What it is when the session starts counts.
	RTT time.Duration

	// Generation tells one time that the tunnel is up from the next: the session
	// of another generation ends, and a new one starts.
	Generation uint64
}

// sameSession reports whether a session with n can go on as one with o.
func (n *Neighbor) sameSession(o *Neighbor) bool {
	return n.Generation == o.Generation && n.Interface == o.Interface && n.LocalAddr == o.LocalAddr && n.PeerAddr == o.PeerAddr &&
		n.ASN == o.ASN && slices.Equal(n.Addresses, o.Addresses)
}

// normalizeAddresses puts zones and IPv4-mapped addresses right.
func (n *Neighbor) normalizeAddresses() {
	for _, a := range []*netip.Addr{&n.LocalAddr, &n.PeerAddr} {
		*a = a.Unmap().WithZone("")
		if a.IsLinkLocalUnicast() && a.Is6() {
			*a = a.WithZone(n.Interface)
		}
	}
}

// validate reports the first mistake.
func (n *Neighbor) validate() error {
	if n.Name == "" {
		return errors.New("no name")
	}
	if n.ASN == 0 || n.ASN == 1<<32-1 {
		return fmt.Errorf("asn %d: must be from 1 to 4294967294", n.ASN)
	}
	if err := checkLimits(n.MaxPrefixes, n.HardMaxPrefixes); err != nil {
		return err
	}
	for _, a := range []netip.Addr{n.LocalAddr, n.PeerAddr} {
		if !a.IsValid() || a.IsUnspecified() || a.IsMulticast() {
			return fmt.Errorf("address %s: must be a unicast address", a)
		}
		if a.IsLinkLocalUnicast() && a.Is6() && n.Interface == "" {
			return fmt.Errorf("address %s: a link-local address needs an interface", a)
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
	Neighbor            // fixed, but for Import, Export and the limits, which are as wanted
	key      netip.Addr // fixed: PeerAddr without zone, how GoBGP names it
	otherHop netip.Addr // fixed: see otherNextHop
	added    time.Time  // fixed: events before this concern a predecessor

	// ctx ends what runs for the neighbor: its listener, its dials.
	ctx    context.Context
	cancel context.CancelFunc
	work   sync.WaitGroup

	session    session
	hadSession bool           // one was established
	routes     int            // how many best paths are its
	released   chan struct{}  // capacity 1: what held the neighbor back is gone
	logged     rate.Sometimes // guards itself: what is malformed goes to the log
	toldInside atomic.Bool    // see refused

	applied applied // what is so of what is wanted

	closed chan struct{} // closed when GoBGP has forgotten the neighbor
	down   chan struct{} // closed when a neighbor being closed has left Established
	isDown bool
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

// apiPeer is n in GoBGP's terms: what is fixed of it.
func (s *Speaker) apiPeer(n *neighbor) *api.Peer {
	var families []*api.AfiSafi
	for _, f := range families4and6 {
		families = append(families, &api.AfiSafi{
			Config:            &api.AfiSafiConfig{Family: f.api(), Enabled: true},
			MpGracefulRestart: &api.MpGracefulRestart{Config: &api.MpGracefulRestartConfig{Enabled: s.restartTime > 0}},
		})
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
		AfiSafis:        families,
		GracefulRestart: s.gracefulRestart(),
	}
}
