package agent

import (
	"context"
	"errors"
	"fmt"
	"time"

	"warren/internal/config"
	"warren/internal/history"
	"warren/internal/status"
)

// A reload may wait to be confirmed (`warren reload --confirm 5m`), as by an operator who reaches this
// router through the tunnel that is edited. Unless `warren confirm` comes in time, the loop goes back
// to the configuration that was there before. `warren reload --undo` has it go back at once. A peer that comes back so is drained or
// down as it was.
//
// While one waits,
//
//   - another with a time is applied, and the time begins again; what is gone back to stays the
//     configuration before the first of them, as that is the one that was known to work. It is the way to
//     mend what was wrong;
//   - one without a time is refused. It may come from anything, such as a script or a package's
//     upgrade, and says neither that the operator has still got through nor that the change is to be kept;
//   - `warren restart` is refused, as the next program would know of the files alone;
//   - a stop, and a start after it, ends the waiting: the daemon that starts reads the files, as always.
//
// The files stay as they are. Once the loop has gone back, status says that they differ from what is used,
// until a reload. `warren restart` is refused as long as they do: it may be a package's upgrade, and the next program
// would take for good what was taken back.

// unconfirmed is a reload that waits, or several.
type unconfirmed struct {
	before   *config.Config // which is gone back to, with all secrets that it was loaded with
	peers    []string       // that there were then, by name: what operators have done with them holds again
	within   time.Duration  // of the last
	by       string         // whom the last was asked for
	at       time.Time      // when the last was done
	deadline time.Time
}

// wentBack is that a reload was not confirmed.
type wentBack struct {
	at       time.Time
	reloaded time.Time // when it was done
	by       string    // for whom
	undoneBy string    // who had it taken back at once; "": the time was over
}

// why says why it was taken back.
func (b *wentBack) why() string {
	if b.undoneBy != "" {
		return "taken back by " + b.undoneBy
	}
	return "not confirmed"
}

// mustConfirm refuses a reload that is not to be confirmed while another one waits for that.
func (l *loop) mustConfirm(within time.Duration) error {
	if u := l.unconfirmed; u != nil && within == 0 {
		return fmt.Errorf("nothing was changed: the reload of %s by %s waits to be confirmed until %s. `warren confirm` keeps what it has changed, `warren reload --undo` takes it back now; "+
			"`warren reload --confirm 5m` goes on from what the files say now, and back to where that one would", clockText(u.at), u.by, clockText(u.deadline))
	}
	return nil
}

// mayRestart refuses a restart where the next program would use another configuration than this one is to: it knows of the
// files alone.
func (l *loop) mayRestart() error {
	if u := l.unconfirmed; u != nil {
		return fmt.Errorf("the reload of %s by %s waits to be confirmed until %s, and the next program would know of the files alone: "+
			"`warren confirm` or `warren reload --undo` first, or wait until then", clockText(u.at), u.by, clockText(u.deadline))
	}
	if b := l.wentBack; b != nil && !l.filesAreUsed() {
		return fmt.Errorf("the files differ from what this router uses since it went back at %s, and the next program would know of the files alone: "+
			"put them back, or have `warren reload` take what they say, and restart then", clockText(b.at))
	}
	return nil
}

// filesAreUsed reports whether the files say what is used.
func (l *loop) filesAreUsed() bool {
	next, err := l.load()
	if err != nil {
		return false
	}
	f := l.foresee(next)
	changes, _ := f.changes()
	return f.refused == nil && len(changes) == 0
}

// reloadWithin is reload of what is to be confirmed within a time; 0: it is not. While it is done it is known already what it may be
// taken back to.
func (l *loop) reloadWithin(within time.Duration) ([]string, error) {
	waited := l.unconfirmed
	if within > 0 && waited == nil {
		l.unconfirmed = &unconfirmed{before: l.cfg, peers: sortedKeys(l.m.peers)}
	}
	lines, err := l.reload()
	if err != nil {
		l.unconfirmed = waited
	}
	return lines, err
}

// awaitConfirmation has what was just changed be taken back, if it is not confirmed within a time, and
// returns when. It does not if within is 0, or if nothing is another than it was.
func (l *loop) awaitConfirmation(by string, within time.Duration) time.Time {
	l.wentBack = nil
	u := l.unconfirmed
	if within == 0 || u == nil {
		return time.Time{}
	}
	if changes, _ := l.foresee(u.before).changes(); len(changes) == 0 {
		l.unconfirmed = nil
		return time.Time{}
	}
	u.within, u.by, u.at, u.deadline = within, by, l.now(), l.now().Add(within)
	return u.deadline
}

// slept has the time go on in which the machine was asleep, as its clock did not.
func (l *loop) slept(asleep time.Duration) {
	if l.unconfirmed != nil {
		l.unconfirmed.deadline = l.unconfirmed.deadline.Add(-asleep)
	}
}

// leaveUnconfirmed is for the end of the daemon.
func (l *loop) leaveUnconfirmed() {
	if u := l.unconfirmed; u != nil {
		l.log.Warn("a reload was not confirmed, and is not taken back: the next start takes what the files say", "by", u.by)
	}
}

// checkConfirmed goes back if the time is over.
func (l *loop) checkConfirmed(now time.Time) {
	_, l.undone = l.forceDoors(l.undone)
	u := l.unconfirmed
	if u == nil || now.Before(u.deadline) {
		return
	}
	l.log.Warn("a reload was not confirmed: going back to the configuration before", "within", u.within, "by", u.by)
	lines := l.goBack(now, "")
	l.history.Add(history.Event{
		Kind: history.Reload, Time: history.At(now), By: "warren itself", Changes: lines,
		Cause: fmt.Sprintf("went back by itself, as no `warren confirm` came within %v", u.within),
	})
}

// goBack takes back what waits to be confirmed, and returns a line for each thing that was done or that is tried again. by is who asked for
// it; "": the time is over.
func (l *loop) goBack(now time.Time, by string) (lines []string) {
	u := l.unconfirmed
	l.unconfirmed = nil
	f := l.foresee(u.before)
	// A certificate that has run out meanwhile, or a port that is taken, is no reason to stay: it is as it would
	// be without the reload. A key may be a peer's until the peers are those before.
	lines, undone := l.forceDoors(f.doors)
	lines = l.carryOut(f, lines)
	l.undone = append(l.undone, undone...)
	l.wentBack = &wentBack{at: now, reloaded: u.at, by: u.by, undoneBy: by}
	return lines
}

// undo goes back at once.
func (l *loop) undo(uid int64) (lines []string, err error) {
	u := l.unconfirmed
	if u == nil {
		if b := l.wentBack; b != nil {
			return nil, fmt.Errorf("it is taken back already: this router went back at %s to the configuration before the reload of %s, as that was %s",
				clockText(b.at), clockText(b.reloaded), b.why())
		}
		return nil, errors.New("no reload waits to be confirmed, and only such a one can be taken back: put the files back, and `warren reload`")
	}
	e := l.reloadEvent(uid)
	l.log.Warn("a reload is taken back: going back to the configuration before", "of", clockText(u.at), "by", u.by, "asked by", e.By)
	e.Changes = l.goBack(l.now(), e.By)
	e.Cause = fmt.Sprintf("went back, as asked: the reload of %s by %s is taken back", clockText(u.at), u.by)
	l.history.Add(e)
	return append(e.Changes[:len(e.Changes):len(e.Changes)],
		fmt.Sprintf("taken back: this router uses what it did before the reload of %s; the files stay as they are", clockText(u.at))), nil
}

// confirm keeps what a reload has changed.
func (l *loop) confirm(uid int64) (lines []string, err error) {
	u := l.unconfirmed
	if u == nil {
		if b := l.wentBack; b != nil {
			return nil, fmt.Errorf("it is too late: this router went back at %s to the configuration before the reload of %s; "+
				"`warren reload` changes it again", clockText(b.at), clockText(b.reloaded))
		}
		return nil, errors.New("no reload waits to be confirmed")
	}
	l.unconfirmed = nil
	l.keepOrders()
	l.log.Info("a reload is confirmed", "of", clockText(u.at), "by", u.by)
	e := l.reloadEvent(uid)
	e.Cause = fmt.Sprintf("the reload of %s by %s is confirmed", clockText(u.at), u.by)
	l.history.Add(e)
	return []string{fmt.Sprintf("confirmed: what the reload of %s has changed stays", clockText(u.at))}, nil
}

// confirmFor asks the loop.
func (l *loop) confirmFor(ctx context.Context, uid int64) (r status.ReloadResult, err error) {
	err = l.ask(ctx, func(context.Context) {
		lines, err := l.confirm(uid)
		r = reloadResult(lines, err)
	})
	return r, err
}

// confirmHint is about a reload that waits, or that was taken back.
func (l *loop) confirmHint(now time.Time) string {
	if u := l.unconfirmed; u != nil {
		return fmt.Sprintf("the reload of %s by %s waits to be confirmed: in %v this router goes back to the configuration before, "+
			"unless `warren confirm` comes, and at once with `warren reload --undo`", clockText(u.at), u.by, max(u.deadline.Sub(now), 0).Round(time.Second))
	}
	if b := l.wentBack; b != nil {
		return fmt.Sprintf("the files differ from what this router uses: at %s it went back to the configuration before, as the reload of %s by %s "+
			"was %s; `warren check --diff` says in what, and `warren reload` takes what they say", clockText(b.at), clockText(b.reloaded), b.by, b.why())
	}
	return ""
}

// clockText is a moment of these hours for an operator of this router.
func clockText(t time.Time) string { return t.Local().Format("15:04:05") }
