package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"time"

	"warren/internal/config"
	"warren/internal/handover"
	"warren/internal/status"
)

// How the daemon replaces itself (`warren restart`), without a moment in which the kernel lacks an
// interface or a route:
//
//  1. The program on disk checks the config, and says whether it takes over what this one leaves
//     (tryNext). Nothing has happened by then.
//  2. What has happened so far is noted down, and the history's file rests (lefthistory.go). The speaker's process
//     ends as if it had died: neighbors that can do so keep this router's routes.
//  3. The far ends are told, and keep their tunnels up meanwhile. The transports pause: nothing is read from the interfaces
//     any more, and what is on its way arrives.
//  4. The next program gets the descriptors, and what these do not say (left.go). If it cannot be started, all
//     of this is taken back.
//  5. It goes on with the interfaces and opens its sessions. It learns from what was left, writes no route until
//     its tunnels are there again, and then finds the kernel as it should be.
//
// The routes stay as after the death of the speaker's process, until neighbors have announced them again.

// Times that a restart may take, before it is given up.
const (
	tryWithin   = 20 * time.Second       // the check by the next program
	leaveWithin = 5 * time.Second        // giving all up
	pauseWithin = time.Second            // of it, the transports
	tellWithin  = 200 * time.Millisecond // telling far ends before that, which need not answer
	flushWithin = 200 * time.Millisecond
)

// restart replaces the daemon. If it returns, the daemon goes on, and the result says why.
func (a *Agent) restart(ctx context.Context, l *loop, leave func() (*os.File, error)) status.RestartResult {
	if !a.restarting.TryLock() {
		return failedRestart("a restart is under way already")
	}
	defer a.restarting.Unlock()
	if lines := a.tryNext(ctx); lines != nil {
		a.log.Error("restart: the daemon goes on as it was", "err", strings.Join(lines, "; "))
		return failedRestart(lines...)
	}
	a.log.Info("restart: the daemon is replaced by the program on disk", "program", a.opts.Program)
	notify(a.log, notifyReloading())
	defer notify(a.log, notifyReady)
	var asked *os.File
	var err error
	if e := l.ask(ctx, func(context.Context) { asked, err = a.replace(l, leave) }); e != nil {
		err = e
	}
	a.log.Error("restart: the daemon goes on as it was", "err", err)
	r := failedRestart(err.Error())
	if asked != nil {
		if err := status.Answer(asked, r); err != nil {
			a.log.Debug("the client has gone", "err", err)
		}
		asked.Close()
	}
	return r
}

func failedRestart(why ...string) status.RestartResult {
	return status.RestartResult{Errors: why}
}

// tryNext asks the program on disk whether it takes over, with the config that there is now. It returns why
// not.
func (a *Agent) tryNext(ctx context.Context) []string {
	ctx, cancel := context.WithTimeout(ctx, tryWithin)
	defer cancel()
	argv := []string{"warren", "check", "-c", a.opts.Path, "--takes-over", strconv.Itoa(HandoverVersion)}
	code, says, err := handover.Try(ctx, a.opts.Program, argv)
	switch {
	case err != nil:
		return []string{err.Error()}
	case code == 0:
	case says == "":
		return []string{fmt.Sprintf("%s check -c %s ended with %d", a.opts.Program, a.opts.Path, code)}
	case strings.Contains(says, "unknown flag"):
		return []string{fmt.Sprintf("%s is of a version that cannot take over from a running daemon: "+
			"stop this one and start it (systemctl restart warren)", a.opts.Program)}
	default:
		return strings.Split(says, "\n")
	}
	next, err := config.Load(a.opts.Path)
	if err != nil {
		return []string{err.Error()}
	}
	if next.FIB != a.cfg.FIB || next.API.Socket != a.cfg.API.Socket {
		return []string{"[fib] and api.socket cannot change while interfaces and routes stay: " +
			"stop the daemon and start it (systemctl restart warren)"}
	}
	return nil
}

// replace is steps 2 to 4, in the loop's goroutine, which so does nothing else. asked is the connection of who
// asks, if it has left the server.
func (a *Agent) replace(l *loop, leave func() (*os.File, error)) (asked *os.File, err error) {
	if l.m.busy() || l.m.starting || l.resuming != nil {
		return nil, errors.New("tunnels are being opened or closed: try again in a moment")
	}
	if err := l.mayRestart(); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), leaveWithin)
	defer cancel()
	n := left{Version: HandoverVersion, FlowHash: a.flowHash.Changed(), Kept: l.state.kept.peers(), Orders: l.m.orders.dated(l.date), Accepted: l.leaveAccepted()}
	goOn, err := l.leaveHistory(ctx, &n)
	if err != nil {
		return nil, err
	}
	defer goOn()
	l.tellRestart()
	a.halt(ctx)
	defer a.wireguard.Carry()
	if n.Speaker, err = a.speaker.HandOver(ctx); err != nil {
		a.speaker.Carry()
		l.carry() // the far ends were told
		return nil, err
	}
	defer a.speaker.Carry()
	tls := a.tls.HandOver()
	n.TLS = &tls
	defer a.tls.Carry()
	defer l.carry()
	if n.Tunnels, err = l.handOver(ctx); err != nil {
		return nil, err
	}
	n.Up, n.UpSince = l.upByThemselves()
	n.Standing, n.Unreachable = l.standing(), l.isUnreachable()
	sockets := a.wireguard.HandOver()
	n.WireGuard = &sockets
	if n.Socket, err = a.server.HandOver(); err != nil {
		return nil, err
	}
	if asked, err = leave(); err != nil {
		return nil, err
	}
	n.Asked = int(asked.Fd())
	state, err := json.Marshal(n)
	if err != nil {
		return asked, err
	}
	a.opts.Log.Flush(flushWithin)
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	defer blockSignals()()
	return asked, handover.Exec(a.opts.Program, os.Args, state, n.descriptors())
}

// halt has WireGuard read nothing more, and send and write what it has read already, before its sessions are given up.
func (a *Agent) halt(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, pauseWithin)
	defer cancel()
	a.wireguard.Halt(ctx)
}

// tellRestart has far ends know, at once, which otherwise would take the silence for the end.
func (l *loop) tellRestart() {
	ctx, cancel := context.WithTimeout(context.Background(), tellWithin)
	defer cancel()
	var work sync.WaitGroup
	for _, h := range l.handles.tunnels {
		if t, ok := h.tunnelHandle.(handedTunnel); ok {
			work.Go(func() { t.tellRestart(ctx) })
		}
	}
	work.Wait()
}

// handOver pauses all tunnels over interfaces of our own, at once.
func (l *loop) handOver(ctx context.Context) (all []leftTunnel, err error) {
	ctx, cancel := context.WithTimeout(ctx, pauseWithin)
	defer cancel()
	var work sync.WaitGroup
	var mu sync.Mutex
	var errs []error
	for id, h := range l.handles.tunnels {
		t, ok := h.tunnelHandle.(handedTunnel)
		a := l.m.tunnels[id]
		if !ok || a == nil {
			continue
		}
		work.Go(func() {
			n, err := t.handOver(ctx, a.name)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				errs = append(errs, fmt.Errorf("peer %s: %w", a.name, err))
				return
			}
			n.Assigned = a.assigned
			if a.up() {
				n.OverIPv4, n.Came = a.session.ipv4.valid() && a.session.local.Is4(), l.date(a.session.came)
			}
			all = append(all, n)
		})
	}
	work.Wait()
	return all, errors.Join(errs...)
}

// upByThemselves returns the attachments that are up over an interface that goes on without this process, and since when each is.
func (l *loop) upByThemselves() (names []string, since map[string]time.Time) {
	since = map[string]time.Time{}
	l.m.all(func(a *attachment) {
		h, ok := l.handles.tunnels[a.id]
		if !ok || !a.up() {
			return
		}
		if _, handed := h.tunnelHandle.(handedTunnel); !handed {
			names = append(names, a.name)
			since[a.name] = l.date(a.session.came)
		}
	})
	return names, since
}

// carry goes on with all tunnels.
func (l *loop) carry() {
	for _, h := range l.handles.tunnels {
		if t, ok := h.tunnelHandle.(interface{ carry() }); ok {
			t.carry()
		}
	}
}

// tellRestarted tells who has asked that this daemon runs.
func (a *Agent) tellRestarted(why ...string) {
	if a.left == nil {
		return
	}
	r := status.RestartResult{Version: a.opts.Version, Errors: why}
	if err := a.left.answer(r); err != nil {
		a.log.Debug("who asked for the restart has gone", "err", err)
	}
	a.left = nil
}
