package wireguard

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"time"

	"warren/tunnel/internal/remote"
)

const lookAgain = 2 * time.Second // where no remote had an address

// resolved is what is known of the addresses of the remotes.
type resolved struct {
	groups []remote.Group // each of one remote, in the order of these
	done   bool           // there is no more to come
	err    error          // why some have none, once done
}

// lookUp looks all remotes up, and tells of each answer.
func (l *Link) lookUp(ctx context.Context, found chan<- resolved) {
	var r resolved
	var errs []error
	tell := func() bool {
		told := r
		told.groups = slices.Clone(r.groups)
		select {
		case found <- told:
			return true
		case <-ctx.Done():
			return false
		}
	}
	plan := remote.Plan{Remotes: l.cfg.Remotes, Network: "udp", Patience: l.cfg.ConnectTimeout, Resolve: l.names.Resolver(l.resolve)}
	for g := range plan.Groups(ctx, &remote.Book{}, func(err error) { errs = append(errs, err) }) {
		g.Addrs = remote.Reachable(g.Addrs)
		r.groups = append(r.groups, g)
		slices.SortFunc(r.groups, func(a, b remote.Group) int { return a.Remote - b.Remote })
		if !tell() {
			return
		}
	}
	r.done, r.err = true, remote.OneLine(errs)
	tell()
}

// found takes what was looked up. An address that was known stays so while the name servers say
// nothing: the line to them may be down.
func (l *Link) found(now time.Time, r resolved) {
	t := &l.tries
	l.tryJoin(now)
	if r.done {
		l.resolving = false
	}
	if r.done && len(r.groups) == 0 && len(t.groups) == 0 {
		l.fail(r.err)
		l.lookAt = now.Add(lookAgain)
		return
	}
	if len(r.groups) == 0 || !r.done && (t.complete || l.cfg.RandomOrder || l.isToCome(r.groups)) {
		return
	}
	if slices.EqualFunc(r.groups, t.groups, func(a, b remote.Group) bool { return a.Remote == b.Remote && slices.Equal(a.Addrs, b.Addrs) }) {
		t.complete = t.complete || r.done
		return
	}
	grows := !t.complete
	t.groups, t.complete = r.groups, r.done
	places := t.places()
	l.peer.SetPlaces(places)
	l.keepTo(now)
	tried := func(a netip.AddrPort) bool { return slices.Contains(t.at, a) }
	switch {
	case !slices.ContainsFunc(places, tried):
		t.restart()
	case grows: // what came now is for the round that has begun
		t.queue = slices.DeleteFunc(l.order(now),
			func(g remote.Group) bool { return slices.ContainsFunc(g.Addrs, tried) })
	}
}

var errReturning = errors.New("the first of the remotes is there again and takes over")
