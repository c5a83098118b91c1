package tlslink

import (
	"container/list"
	"context"
	"errors"
	"net"
	"net/netip"
	"sync"
	"time"
)

// Limits on connections that have not yet proved whose they are. A place costs some
// 50 KB, a handshake 0.3 ms of a processor.
const (
	strangerPlaces = 512
	knownPlaces    = 128 // for addresses of peers, see known
	perSource      = 16  // places of one source, in either; of one that has many peers twice their number
	handshakeRate  = 500 // a second, for strangers and for the known each
	handshakeBurst = 100
)

// stage is how far a connection has come.
type stage int

const (
	silent   stage = iota // it has sent no TLS hello yet
	waiting               // it has, and waits for its turn
	answered              // its handshake is being worked on
	stages
)

var allStages = []stage{silent, waiting, answered}

// gate bounds what strangers can hold and cost, and sees that they keep no peer out.
//
//	enter ──► silent ──await──► waiting ──its turn──► answered ──► leave
//
// When all places are taken the fullest network loses one: a silent one before one that
// waits, and the oldest of these. Half of the places are for the answered. A peer's hello
// comes with the last packet of TCP's handshake, so a peer is silent for a moment only,
// wherever it is; it waits in turn with the other networks, and once it is answered has
// half a second. On a path with a long round trip that is not enough, so of networks that are as
// full as one another those lose places first whose guests have had time for some round trips.
//
// Addresses of peers have places and handshakes of their own. A source is an IPv4
// address or an IPv6 /64. All methods may be called from any goroutine.
type gate struct {
	known known

	mu        sync.Mutex
	strangers *pool
	peers     *pool
}

// errDisplaced is why a connection that is not known yet was closed.
var errDisplaced = errors.New("others needed its place")

// guest is a connection in the gate.
type guest struct {
	pool     *pool
	conn     net.Conn
	networks []*network // that it is in, widest first; the last is its source
	stage    stage
	rtt      time.Duration // of TCP's handshake; 0: not known
	answered time.Time     // when it was put there
	place    *list.Element // in the pool's list of the stage; nil: it has left
	turn     chan bool     // true: answer it; closed: it was displaced
}

// pool is a number of places, and of handshakes a second. The gate's mutex guards it.
type pool struct {
	places   int
	guests   [stages]*list.List // of *guest, oldest first
	networks map[netip.Prefix]*network
	turns    turns
	now      func() time.Time // time.Now, but for tests
}

// network is how many guests a network has, by stage.
type network struct {
	prefix netip.Prefix
	count  [stages]int
}

func newGate() *gate {
	return &gate{strangers: newPool(strangerPlaces), peers: newPool(knownPlaces)}
}

func newPool(places int) *pool {
	p := &pool{places: places, networks: make(map[netip.Prefix]*network), turns: newTurns(), now: time.Now}
	for i := range p.guests {
		p.guests[i] = list.New()
	}
	return p
}

// enter gives a connection a place, or says no. leave must be called once when it is
// known or closed.
func (g *gate) enter(conn net.Conn) (*guest, bool) {
	addr := addrPort(conn.RemoteAddr()).Addr()
	peers, rtt := g.known.at(addr), roundTrip(conn)
	g.mu.Lock()
	defer g.mu.Unlock()
	p := g.strangers
	if peers > 0 {
		p = g.peers
	}
	v := &guest{pool: p, conn: conn, rtt: rtt, turn: make(chan bool, 1)}
	for _, prefix := range networksOf(addr) {
		n := p.networks[prefix]
		if n == nil {
			n = &network{prefix: prefix}
			p.networks[prefix] = n
		}
		v.networks = append(v.networks, n)
	}
	v.put(silent) // so that its networks count while another goes
	if v.source().total() > max(perSource, 2*peers) {
		old := p.oldestOf(v)
		if old == nil {
			v.remove()
			return nil, false
		}
		old.displace()
	} else if p.size() > p.places {
		p.victim(v).displace()
	}
	return v, true
}

// await returns when a connection that has sent its TLS hello may be answered.
func (g *gate) await(ctx context.Context, v *guest) error {
	g.mu.Lock()
	if v.place != nil {
		v.put(waiting)
		g.grant(v.pool)
	}
	g.mu.Unlock()
	select {
	case ok := <-v.turn:
		if !ok {
			return errDisplaced
		}
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// grant answers those whose turn it is, now and later.
func (g *gate) grant(p *pool) {
	for p.guests[waiting].Len() > 0 {
		if !p.turns.take(time.Now()) {
			if !p.turns.planned {
				p.turns.planned = true
				time.AfterFunc(turnInterval, func() {
					g.mu.Lock()
					defer g.mu.Unlock()
					p.turns.planned = false
					g.grant(p)
				})
			}
			return
		}
		v := p.turns.next(p.guests[waiting])
		v.put(answered)
		v.turn <- true
	}
}

func (g *gate) leave(v *guest) {
	g.mu.Lock()
	defer g.mu.Unlock()
	v.remove()
}

// makeRoom takes a place back because something else than places is scarce.
func (g *gate) makeRoom() {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, p := range []*pool{g.strangers, g.peers} {
		if v := p.victim(nil); v != nil {
			v.displace()
			return
		}
	}
}

// size is how many connections are in.
func (g *gate) size() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.strangers.size() + g.peers.size()
}
