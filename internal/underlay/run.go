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
	socket, err := openWatcher()
	if err != nil {
		return err
	}
	w := &watcher{socket: socket, lost: func() { g.markDirty(dirtyAll) }}
	w.note = func(nlType uint16, port uint32, m []byte) {
		what := g.affected(k.port, nlType, port, m)
		if what == dirty4 || what == dirty6 {
			g.addHint(nlType, m)
		}
		g.markDirty(what)
	}

	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return w.run(ctx) })
	defer func() {
		if cleanErr := g.cleanUp(k); err == nil {
			err = cleanErr
		}
	}()
	// What a killed daemon left is in the guard's table and rules, so the first
	// reconciliation deals with it like with any other difference.
	again, err := g.reconcile(k, dirtyAll)
	if err != nil {
		socket.Close()
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
	l, err := k.links(tunnels)
	if err != nil {
		return 0, err
	}
	if !maps.Equal(l.tunnels, g.tunnelIndexes) {
		what |= dirty4 | dirty6
	}
	g.underlay = l.underlay
	for _, family := range families {
		flag := flagOf(family)
		if what&flag == 0 {
			continue
		}
		g.takeHints(family) // the dump knows better
		whole, err := g.copyRoutes(k, family, l.tunnels)
		if err != nil {
			return 0, err
		}
		if !whole {
			again |= flag
		}
	}
	g.tunnelIndexes = l.tunnels
	g.reportStrict(l.strict)
	g.setStrict(len(l.strict) > 0)
	var returns []rule
	if len(l.strict) > 0 {
		if returns, err = k.returnRules(l.strict, paths); err != nil {
			return 0, err
		}
	}
	// Rules come after the copy they lead to.
	if err := g.syncRules(k, unix.AF_INET, returns); err != nil {
		return 0, err
	}
	return again, g.syncRules(k, unix.AF_INET6, nil)
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

// cleanUp removes the rules, then the copy they lead to.
func (g *Guard) cleanUp(k *kernel) error {
	g.setStrict(false) // nobody waits for a rule any more
	return errors.Join(g.clearRules(k), g.clear(k))
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
