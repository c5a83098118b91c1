package speaker

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/netip"
	"slices"
	"time"

	"warren/bgp"
	"warren/internal/speaker/wire"
)

// Handover is what a Speaker leaves to that of the next program in this process: the routes, which stay
// as after the death of the speaker's process, and what status has of it.
type Handover struct {
	Neighbors []HandedNeighbor `json:"neighbors"`
	Routes    []byte           `json:"routes"` // frames of package wire; a neighbor's number is its place, from 1
	Restarts  int              `json:"restarts"`
	LastError string           `json:"last_error"`
}

// HandedNeighbor tells a neighbor from others.
type HandedNeighbor struct {
	Name     string     `json:"name"`
	ASN      uint32     `json:"asn"`
	PeerAddr netip.Addr `json:"peer_addr"`
}

// awaitNeighbors is how long a neighbor's routes stay after a restart that is not wanted yet, as its tunnel is
// not there yet.
const awaitNeighbors = 5 * time.Second

// hold has no process be started.
type hold struct {
	gone  chan struct{} // closed when there is none
	again chan struct{} // closed when there is to be one again
}

// errHandedOver ends a process whose daemon is replaced.
var errHandedOver = errors.New("the daemon is being restarted")

// HandOver ends the process without a word to the neighbors, who keep this router's routes for a while, and
// returns what the next program needs. Until Carry no other process is started.
func (s *Speaker) HandOver(ctx context.Context) (*Handover, error) {
	s.mu.Lock()
	if s.hold == nil {
		s.hold = &hold{gone: make(chan struct{}), again: make(chan struct{})}
	}
	h, p := s.hold, s.process
	s.mu.Unlock()
	if p != nil {
		p.end(errHandedOver)
	}
	select {
	case s.held <- struct{}{}:
	default:
	}
	select {
	case <-h.gone:
	case <-ctx.Done():
		return nil, fmt.Errorf("speaker: end the process: %w", ctx.Err())
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.handoverLocked(), nil
}

// Carry is called when there is no next program: a process is started again.
func (s *Speaker) Carry() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.hold != nil {
		close(s.hold.again)
		s.hold = nil
	}
}

// holding waits while no process is to be started. It reports false when ctx is done.
func (s *Speaker) holding(ctx context.Context) bool {
	s.mu.Lock()
	h := s.hold
	if h != nil {
		s.orphanLocked(time.Now())
		close(h.gone)
	}
	s.mu.Unlock()
	if h == nil {
		return true
	}
	select {
	case <-h.again:
		return true
	case <-ctx.Done():
		return false
	}
}

// isHeld reports whether no process is to be started.
func (s *Speaker) isHeld() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.hold != nil
}

func (s *Speaker) handoverLocked() *Handover {
	h := &Handover{Restarts: s.restarts, LastError: s.lastError}
	numbers := map[string]uint32{}
	for _, name := range slices.Sorted(maps.Keys(s.table.wanted)) {
		n := &s.table.wanted[name].neighbor
		h.Neighbors = append(h.Neighbors, HandedNeighbor{n.Name, n.ASN, n.PeerAddr})
		numbers[name] = uint32(len(h.Neighbors))
	}
	var w wire.RouteWriter
	var ways []wire.Way
	for p, id := range s.table.routes.All() {
		ways = ways[:0]
		for _, way := range s.table.sets.told[s.table.sets.all[id].told].ways {
			if n := numbers[way.Neighbor]; n != 0 {
				ways = append(ways, wire.Way{ID: n, Gateway: way.Gateway, Reserve: way.Reserve})
			}
		}
		if len(ways) > 0 {
			w.Add(ways, p)
		}
	}
	h.Routes = slices.Clone(w.Take())
	return h
}

// TakeUp has the routes that were handed over (Config.Resume) be learned, until their neighbors have
// announced them again, for RestartTime at most. It is called once, before Want.
func (s *Speaker) TakeUp() error {
	h := s.cfg.Resume
	if h == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	defer s.notifyLocked()
	now := time.Now()
	if err := s.table.takeUp(h, now.Add(s.limits.restartTime), now.Add(awaitNeighbors)); err != nil {
		return fmt.Errorf("speaker: take over the routes: %w", err)
	}
	return nil
}

// takeUp makes stale owners of the neighbors, with their routes.
func (t *table) takeUp(h *Handover, until, awaited time.Time) error {
	t.awaited = awaited
	owners := make([]*owner, 0, len(h.Neighbors))
	for _, n := range h.Neighbors {
		o := t.add(bgp.Neighbor{Name: n.Name, ASN: n.ASN, PeerAddr: n.PeerAddr})
		o.stale, o.handed = until, true
		owners = append(owners, o)
	}
	in := wire.NewReader(bytes.NewReader(h.Routes), wire.MaxFromSpeaker)
	for {
		kind, payload, err := in.Read()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err == nil && kind != wire.KindRoutes {
			err = fmt.Errorf("a frame of kind %d", kind)
		}
		if err == nil {
			err = t.takeUpRoutes(owners, payload)
		}
		if err != nil {
			return err
		}
	}
}

func (t *table) takeUpRoutes(owners []*owner, payload []byte) error {
	r, made := wire.ReadRoutes(payload), []setID{0} // by number of the set
	defer func() {
		for _, id := range made {
			t.sets.release(id)
		}
	}()
	for r.More() {
		set, prefix, err := r.Next()
		if err != nil {
			return err
		}
		if set == len(made) {
			members := make([]member, 0, len(r.Ways(set)))
			for _, way := range r.Ways(set) {
				if way.ID < 1 || int(way.ID) > len(owners) {
					return errors.New("a way of a neighbor that there is not")
				}
				members = append(members, member{o: owners[way.ID-1], gateway: way.Gateway, reserve: way.Reserve})
			}
			made = append(made, t.sets.intern(members))
		}
		t.put(prefix, made[set])
	}
	return nil
}

// takenUp reports whether what was handed over of a neighbor is of this one; from then on it is as
// what another process has left.
func (o *owner) takenUp(is *bgp.Neighbor) bool {
	if o.neighbor.ASN != is.ASN || o.neighbor.PeerAddr != is.PeerAddr {
		return false
	}
	o.neighbor, o.handed = *is, false
	return true
}
