package engine

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/osrg/gobgp/v4/api"
)

// errUnknown is what the helpers below return for a neighbor that is not there.
var errUnknown = errors.New("no such neighbor")

// The helpers change one thing of what is wanted and wait until it is so.

// edit changes what s wants. Tests do that from one goroutine.
func (s *Speaker) edit(change func(neighbors map[string]*Neighbor, w *Wanted)) {
	s.mu.Lock()
	neighbors, w := maps.Clone(s.wanted.neighbors), Wanted{Protected: s.wanted.protected, Assigned: s.wanted.assigned}
	if neighbors == nil {
		neighbors = make(map[string]*Neighbor)
	}
	for p := range s.wanted.announced {
		w.Announced = append(w.Announced, p)
	}
	s.mu.Unlock()
	change(neighbors, &w)
	for _, n := range neighbors {
		w.Neighbors = append(w.Neighbors, *n)
	}
	s.Want(w)
}

// AddNeighbor waits until GoBGP has the neighbor, and returns why it has not.
func (s *Speaker) AddNeighbor(ctx context.Context, n Neighbor) error {
	s.mu.Lock()
	old := s.wanted.neighbors[n.Name]
	s.mu.Unlock()
	if old != nil {
		return fmt.Errorf("bgp: add neighbor %s: exists already", n.Name)
	}
	s.edit(func(all map[string]*Neighbor, _ *Wanted) { all[n.Name] = &n })
	for {
		if err := s.Settle(ctx); err != nil {
			s.edit(func(all map[string]*Neighbor, _ *Wanted) { delete(all, n.Name) })
			return err
		}
		s.mu.Lock()
		added := s.neighbors[n.Name]
		s.mu.Unlock()
		if added != nil {
			return nil
		}
		if !pause(ctx, time.Millisecond) {
			return ctx.Err()
		}
	}
}

// DeleteNeighbor does not wait for the end of the session.
func (s *Speaker) DeleteNeighbor(_ context.Context, name string) (err error) {
	s.edit(func(all map[string]*Neighbor, _ *Wanted) {
		if all[name] == nil {
			err = errUnknown
		}
		delete(all, name)
	})
	return err
}

func (s *Speaker) SetPolicy(ctx context.Context, name string, imp, exp Policy, maxPrefixes, hardMaxPrefixes int) (err error) {
	s.edit(func(all map[string]*Neighbor, _ *Wanted) {
		if all[name] == nil {
			err = errUnknown
			return
		}
		n := *all[name]
		n.Import, n.Export, n.MaxPrefixes, n.HardMaxPrefixes = imp, exp, maxPrefixes, hardMaxPrefixes
		all[name] = &n
	})
	return errors.Join(err, s.Settle(ctx))
}

func (s *Speaker) SetAnnounced(ctx context.Context, prefixes []netip.Prefix) error {
	s.edit(func(_ map[string]*Neighbor, w *Wanted) { w.Announced = prefixes })
	return s.Settle(ctx)
}

func (s *Speaker) SetProtected(ctx context.Context, p *Protected) error {
	s.edit(func(_ map[string]*Neighbor, w *Wanted) { w.Protected = p })
	return s.Settle(ctx)
}

// failingServer fails what it is told to.
type failingServer struct {
	policyServer
	fail func(call string) error
}

func (f *failingServer) AddDefinedSet(ctx context.Context, r *api.AddDefinedSetRequest) error {
	if err := f.fail("AddDefinedSet"); err != nil {
		return err
	}
	return f.policyServer.AddDefinedSet(ctx, r)
}

func (f *failingServer) DeleteDefinedSet(ctx context.Context, r *api.DeleteDefinedSetRequest) error {
	if err := f.fail("DeleteDefinedSet"); err != nil {
		return err
	}
	return f.policyServer.DeleteDefinedSet(ctx, r)
}

func (f *failingServer) AddPolicy(ctx context.Context, r *api.AddPolicyRequest) error {
	if err := f.fail("AddPolicy"); err != nil {
		return err
	}
	return f.policyServer.AddPolicy(ctx, r)
}

// TestExportIsTriedUntilItIsApplied lets each of GoBGP's steps fail once in turn
// while an export policy is tightened: what is wanted is not taken for what is
// so, the failure shows, and in the end the peer has what the policy says.
func TestExportIsTriedUntilItIsApplied(t *testing.T) {
	for fails := range 6 {
		t.Run(fmt.Sprint("step ", fails), func(t *testing.T) {
			a, b := startSpeaker(t, 64512, "10.0.0.1"), startSpeaker(t, 64513, "10.0.0.2")
			if err := a.SetAnnounced(t.Context(), prefixes("10.1.0.0/16", "10.1.1.0/24", "10.3.0.0/16")); err != nil {
				t.Fatal(err)
			}
			connect(t, a, b, func(n *Neighbor) { n.Export = policyOf("any", "10.3.0.0/16") }, nil)
			waitRoutes(t, b, "a", "10.1.0.0/16", "10.1.1.0/24", "10.3.0.0/16")

			step, broken := 0, errors.New("broken for a moment")
			a.opMu.Lock()
			a.policies.server = &failingServer{a.policies.server, func(string) error {
				if step++; step-1 == fails {
					return broken
				}
				return nil
			}}
			a.opMu.Unlock()
			err := a.SetPolicy(t.Context(), "b", policyOf("any"), policyOf("10.1.1.0/24", "10.4.0.0/16"), 0, 0)
			failed := errors.Is(err, broken)
			if err != nil && !failed {
				t.Fatal(err)
			}
			if st := statusOf(a, "b"); failed && !strings.Contains(st.LastError, "export: not applied") {
				// A retry may have succeeded already.
				waitRoutes(t, b, "a", "10.1.1.0/24")
			}
			waitRoutes(t, b, "a", "10.1.1.0/24")
			eventually(t, time.Minute, func() string { return statusOf(a, "b").LastError })
			t.Logf("failed: %v, of %d steps", failed, step)
		})
	}
}

// TestWantDoesNotWait has GoBGP kept busy: a dead tunnel's neighbor and its
// routes leave nevertheless, at once.
func TestWantDoesNotWait(t *testing.T) {
	s := startSpeaker(t, 64512, "10.0.0.1")
	p := rawSession(t, s, "b", 64513, "10.0.0.2", nil)
	p.update(64513, prefixes("10.2.0.0/16"), nil)
	waitRoutes(t, s, "b", "10.2.0.0/16")
	s.opMu.Lock() // as an operation does that does not return
	s.Want(Wanted{})
	if routes := s.Routes(); len(routes) != 0 {
		t.Errorf("left: %s", describe(routes))
	}
	s.opMu.Unlock()
	s.waitClosed(t.Context())
}

// TestGeneration has a tunnel go down and come up between two looks of the
// reconciler: the session is a new one.
func TestGeneration(t *testing.T) {
	s := startSpeaker(t, 64512, "10.0.0.1")
	p := rawSession(t, s, "b", 64513, "10.0.0.2", nil)
	p.update(64513, prefixes("10.2.0.0/16"), nil)
	waitRoutes(t, s, "b", "10.2.0.0/16")
	since := statusOf(s, "b").Since
	s.edit(func(all map[string]*Neighbor, _ *Wanted) {
		n := *all["b"]
		n.Generation++
		all["b"] = &n
	})
	if routes := s.Routes(); len(routes) != 0 {
		t.Errorf("left: %s", describe(routes))
	}
	eventually(t, time.Minute, func() string {
		if st := statusOf(s, "b"); st.State != stateActive || st.Since.Equal(since) {
			return fmt.Sprintf("%+v", st)
		}
		return ""
	})
}
