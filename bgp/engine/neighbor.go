package engine

import (
	"context"
	"net"
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
	connectRetry  = 1
	holdTime      = 9
	keepalive     = 3
	idleAfterDown = 1
)

// A neighbor is a Neighbor at work. Speaker.mu guards all of it but what is
// marked as fixed.
type neighbor struct {
	Neighbor            // fixed, but for Import, Export, Preference, Drained and the limits, which are as wanted
	key      netip.Addr // fixed: PeerAddr without zone, how GoBGP names it
	otherHop netip.Addr // fixed: see otherNextHop
	added    time.Time  // fixed: events before this concern a predecessor
	number   uint32     // fixed: its place among neighbors; no other one has had it

	// ctx ends what runs for the neighbor: its listener, its dials.
	ctx    context.Context
	cancel context.CancelFunc
	work   sync.WaitGroup

	session    session
	hold       *hold          // the neighbor's of this name, also of another tunnel
	hadSession bool           // one was established
	routes     int            // how many of GoBGP's best paths are its
	held       int            // how many prefixes the rib knows that its judge has handed on
	released   chan struct{}  // capacity 1: what held the neighbor back is gone
	logged     rate.Sometimes // guards itself: what is malformed goes to the log
	toldInside atomic.Bool    // see refused
	paced      rate.Sometimes // guards itself: that it is read more slowly goes to the log

	turn       chan struct{}  // capacity 1: held by what decides about a connection that has arrived
	arriving   []*net.TCPConn // that wait for it, the oldest first
	arrivals   *rate.Limiter  // guards itself: how many are taken
	turnedAway rate.Sometimes // guards itself: those that are not, in the log

	applied applied // what is so of what is wanted

	closed chan struct{} // closed when GoBGP has forgotten the neighbor
	down   chan struct{} // closed when a neighbor being closed has left Established
	isDown bool
}

func (s *Speaker) newNeighbor(n Neighbor) *neighbor {
	nb := &neighbor{
		Neighbor: n,
		key:      n.PeerAddr.WithZone(""),
		otherHop: otherNextHop(n.Addresses, n.LocalAddr, s.cfg.RouterID, n.LAN()),
		session:  session{state: stateIdle, since: time.Now()},
		hold:     s.holdOf(&n),
		released: make(chan struct{}, 1),
		logged:   rate.Sometimes{First: 1, Interval: malformedLogged},

		turnedAway: rate.Sometimes{First: 1, Interval: turnedAwayLogged},
		paced:      rate.Sometimes{First: 1, Interval: pacedLogged},
		turn:       make(chan struct{}, 1),
		arrivals:   rate.NewLimiter(arrivalsPerSecond, arrivalBurst),
		down:       make(chan struct{}),
		closed:     make(chan struct{}),
	}
	s.lastNumber++
	nb.number = s.lastNumber
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
	var reflector *api.RouteReflector
	if n.RouteReflectorClient {
		reflector = &api.RouteReflector{RouteReflectorClient: true, RouteReflectorClusterId: s.clusterID(n).String()}
	}
	// Else GoBGP gives what it sends to a neighbor in another AS a TTL of 1, which the peer drops.
	ttl := &api.TtlSecurity{Enabled: n.TTLSecurity, TtlMin: 255}
	return &api.Peer{
		TtlSecurity: ttl,
		Conf: &api.PeerConf{
			NeighborAddress: n.PeerAddr.String(),
			PeerAsn:         n.ASN,
			Description:     n.Name,
			AllowOwnAsn:     255, // the judge withdraws what has looped
			ReplacePeerAsn:  n.ASOverride,
		},
		RouteReflector: reflector,
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
