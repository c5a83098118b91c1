package underlay

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
)

const (
	// settle is how long the guard waits for more of the same after a change:
	// a new default route often comes as several messages.
	settle = 20 * time.Millisecond
	// loadFactor keeps the guard under a fifth of one core however busy the
	// tables are: after a reconciliation it rests four times as long as that took.
	loadFactor = 4
	// Everything is compared from time to time even if nothing was heard.
	auditEvery  = time.Minute
	auditFactor = 200
	retryAfter  = time.Second
)

var families = []int{unix.AF_INET, unix.AF_INET6}

// Run removes what a killed daemon left, installs the rules and the copy,
// follows the kernel until ctx is done, and then removes everything of its
// own. It returns nil after ctx is done, and an error only if the guard cannot
// start or clean up: the usual one is a missing CAP_NET_ADMIN. It is called once. All of it happens in the network namespace of the calling thread.
func (g *Guard) Run(ctx context.Context) (err error) {
	k, err := openKernel()
	if err != nil {
		return err
	}
	defer k.close()
	events, err := g.watch()
	if err != nil {
		return err
	}
	defer events.Close()

	ctx, stop := context.WithCancel(ctx)
	defer stop()
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return g.note(ctx, events, k.conn.Port()) })
	defer func() {
		if cleanErr := g.cleanUp(k); err == nil {
			err = cleanErr
		}
	}()
	// What a killed daemon left is in the guard's tables and rules, so the first
	// reconciliation deals with it like with any other difference.
	var again dirty
	if err = errors.Join(clearMarks(), g.findLeftovers(k)); err == nil {
		again, err = g.reconcile(k, dirtyAll)
	}
	if err != nil {
		stop()
		_ = group.Wait()
		if errors.Is(err, unix.EPERM) {
			return fmt.Errorf("%w: warren needs CAP_NET_ADMIN", err)
		}
		return err
	}
	close(g.ready)
	g.markDirty(again)
	g.follow(ctx, k)
	return group.Wait()
}

// follow reconciles after each change until ctx is done. While it rests from
// the last time, it does what is cheap at once and the rest later.
func (g *Guard) follow(ctx context.Context, k *kernel) {
	audit := time.NewTimer(auditEvery)
	defer audit.Stop()
	restOver := time.NewTimer(auditEvery)
	defer restOver.Stop()
	var rested time.Time // no whole reconciliation before this
	for {
		select {
		case <-ctx.Done():
			return
		case <-g.kick:
		case <-restOver.C:
		case <-audit.C:
			g.dirty.Or(uint32(dirtyAll))
		}
		if !pause(ctx, settle) {
			return
		}
		g.remark(time.Now())
		var next time.Duration
		start := time.Now()
		if rest := time.Until(rested); rest > settle {
			g.applyHints(k)
			restOver.Reset(rest)
			next = g.reconcileDirty(k, dirtyRules)
		} else {
			next = g.reconcileDirty(k, dirtyAll)
			took := time.Since(start)
			rested = time.Now().Add(max(loadFactor*took, g.minRest))
			next = cmp.Or(next, max(auditEvery, auditFactor*took))
		}
		if next > 0 {
			audit.Reset(next)
		}
	}
}

// reconcileDirty takes those of the dirty flags that are in mask and does what
// they ask for. It returns when to try again, or 0 if all is done.
func (g *Guard) reconcileDirty(k *kernel, mask dirty) time.Duration {
	what := dirty(g.dirty.And(^uint32(mask))) & mask
	if what == 0 {
		return 0
	}
	again, err := g.reconcile(k, what)
	text := ""
	if err != nil {
		again, text = dirtyAll, err.Error()
	}
	if text != g.lastError && err != nil {
		g.log.Warn("the transports' copy of the routes could not be brought up to date; trying again", "err", err)
	}
	g.lastError = text
	if again != 0 {
		g.dirty.Or(uint32(again))
		return retryAfter
	}
	return 0
}

// reconcile makes the kernel's rules and copies what they should be now. It
// returns what it could not see the whole of because it was changing.
func (g *Guard) reconcile(k *kernel, what dirty) (again dirty, err error) {
	tunnels, paths, done := g.snapshot()
	defer close(done)
	g.mu.Lock()
	loose := g.loose
	g.mu.Unlock()
	l, err := k.links(tunnels, loose)
	if err != nil {
		return 0, err
	}
	if err := k.readObjects(); err != nil {
		return 0, err
	}
	g.outer.setLocals(l.addrs)
	g.reportStrict(l.strict)
	g.setStrict(len(l.strict) > 0)
	var back returning
	if len(l.strict) > 0 {
		back = l.returning(paths)
	}
	for _, family := range families {
		whole, err := g.reconcileFamily(k, family, what&flagOf(family) != 0, l, back)
		if errors.Is(err, unix.EAFNOSUPPORT) && family == unix.AF_INET6 {
			continue // this kernel has no IPv6, or is told not to
		}
		if err != nil {
			return 0, err
		}
		if !whole {
			again |= flagOf(family)
		}
		back = returning{} // IPv6 has no such filter
	}
	return again, nil
}

// reconcileFamily is reconcile for one family: what the rules say of the tables, the
// copies of those, the rules that lead to the copies, in this order. Without routes only
// the tables are looked at that were not known yet.
func (g *Guard) reconcileFamily(k *kernel, family int, routes bool, l links, back returning) (whole bool, err error) {
	own, others, err := g.listRules(k, family)
	if err != nil {
		return false, err
	}
	if !maps.Equal(l.tunnels, g.watched[family].Load().tunnels) {
		routes = true
	}
	if routes {
		g.takeHints(family) // the dump knows better
	}
	w, err := g.examine(k, family, lookedUp(others, g.uid), l, routes)
	if err != nil {
		return false, err
	}
	if whole, err = g.copyTables(k, family, w, routes); err != nil {
		return false, err
	}
	g.watched[family].Store(w)
	if err := g.syncRules(k, family, own, newPlan(others, g.uid, w.copies), back); err != nil {
		return false, err
	}
	return whole, g.clearTables(k, family, w)
}

func flagOf(family int) dirty {
	if family == unix.AF_INET {
		return dirty4
	}
	return dirty6
}

func (g *Guard) setStrict(strict bool) {
	g.mu.Lock()
	g.strict = strict
	g.mu.Unlock()
}

// snapshot is what others have asked for by now. The caller closes done when
// it is in place.
func (g *Guard) snapshot() (tunnels []string, paths []returnPath, done chan struct{}) {
	g.mu.Lock()
	defer g.mu.Unlock()
	done = g.applied
	g.applied = make(chan struct{})
	return g.tunnels, slices.Clone(g.returns), done
}

// RemoveLeft removes what a killed daemon has left, in place of Run, in the network namespace of the calling thread.
func (g *Guard) RemoveLeft() error {
	k, err := openKernel()
	if err != nil {
		return err
	}
	defer k.close()
	if err := g.findLeftovers(k); err != nil {
		return err
	}
	return g.cleanUp(k)
}

// cleanUp removes the rules, then the copies they lead to.
func (g *Guard) cleanUp(k *kernel) error {
	g.setStrict(false) // nobody waits for a rule any more
	errs := []error{clearMarks(), g.clearRules(k)}
	for _, family := range families {
		errs = append(errs, g.clearTables(k, family, &watched{}))
	}
	return errors.Join(errs...)
}

func (g *Guard) markDirty(what dirty) {
	if what != 0 {
		g.dirty.Or(uint32(what))
		g.wake()
	}
}

// pause waits and reports whether ctx is still alive.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}
