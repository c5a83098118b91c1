// Package remains is about what a daemon has in the kernel that outlives it when it is killed, and that nobody takes over:
// routes by gateways on a LAN and over interfaces of other programs, unreachable ones, and interfaces of the kernel's WireGuard.
// A daemon that is started again removes what its predecessor left. Where none can be started, as its config is broken, somebody else
// has to: `warren cleanup`, which systemd calls each time a daemon has ended.
//
//  1. The daemon notes what there is to be removed beside its socket ([Note]), and strikes it out when it has removed that itself
//     ([Forget]).
//  2. [Clear] finds the note and no daemon, which holds the lock of its socket, and writes down since when.
//  3. If there is none still after restart_time, for which the routes of a router that starts again may stay, it has all removed.
package remains

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"warren/internal/access"
	"warren/internal/socket"
	"warren/tunnel/boottime"
)

// Left is what has to be known to remove what a daemon leaves.
type Left struct {
	Config          string        `json:"config"` // absolute path, by which its interfaces are known
	Table           int           `json:"table"`
	Metric          int           `json:"metric"`
	Protocol        int           `json:"protocol"`
	KeepUnreachable bool          `json:"keep_unreachable"`
	Within          time.Duration `json:"within_ns"` // how long it stays while no daemon runs

	Dead time.Duration `json:"dead_ns,omitempty"` // since when none runs, by CLOCK_BOOTTIME; 0: nobody has noticed
}

// Result is what has become of it.
type Result struct {
	Runs  bool          // a daemon does: nothing was done
	Stays time.Duration // nothing was removed yet: it stays for as long, if no daemon is started
	Left  *Left         // what was removed, or is to be; nil: nothing is left
}

// file is where it is noted, by the path of the daemon's socket.
func file(socket string) string { return socket + ".remains" }

// Note writes down what there is to be removed, in the name of the daemon that listens at a socket.
func Note(socket string, l Left) error {
	text, err := json.Marshal(l)
	if err != nil {
		return fmt.Errorf("note what may be left: %w", err)
	}
	f, err := os.CreateTemp(filepath.Dir(socket), filepath.Base(file(socket))+".*") // of mode 0600
	if err != nil {
		return fmt.Errorf("note what may be left: %w", err)
	}
	_, err = f.Write(text)
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), file(socket))
	}
	if err != nil {
		return errors.Join(fmt.Errorf("note what may be left: %w", err), os.Remove(f.Name()))
	}
	return nil
}

// Forget is for a daemon that has removed everything.
func Forget(socket string) error {
	if err := os.Remove(file(socket)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("forget what was left: %w", err)
	}
	return nil
}

// Clear calls remove if what was noted has been left for long enough. No daemon can be started at that socket meanwhile.
func Clear(path string, remove func(Left) error) (Result, error) {
	return clearAt(path, boottime.SinceBoot, remove)
}

func clearAt(path string, now func() (time.Duration, error), remove func(Left) error) (r Result, err error) {
	if _, err := os.Lstat(file(path)); errors.Is(err, os.ErrNotExist) {
		return r, nil
	}
	lock, err := socket.Lock(path)
	if errors.Is(err, socket.ErrHeld) {
		return Result{Runs: true}, nil
	}
	if err != nil {
		return r, err
	}
	defer lock.Close()
	l, err := read(path)
	if l == nil || err != nil {
		return r, err
	}
	at, err := now()
	if err != nil {
		return r, err
	}
	if l.Dead == 0 || l.Dead > at { // the clock of another boot
		l.Dead = at
		if err := Note(path, *l); err != nil {
			return r, err
		}
	}
	r.Left = l
	if r.Stays = l.Within - (at - l.Dead); r.Stays > 0 {
		return r, nil
	}
	r.Stays = 0
	if err := remove(*l); err != nil {
		return r, err
	}
	return r, Forget(path)
}

// maxNote bounds what is read of a note, in bytes: a path, and some numbers.
const maxNote = 64 << 10

// read returns what was noted; nil: nothing.
func read(path string) (*Left, error) {
	f, err := access.Open(file(path), os.O_RDONLY, 0) // it says which routes are to be removed
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read what is left: %w", err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxNote))
	var l Left
	if err == nil {
		err = json.Unmarshal(text, &l)
	}
	if err != nil {
		return nil, fmt.Errorf("read what is left: %w", err)
	}
	return &l, nil
}

// Wait has Clear be called again and again, until nothing is left or a daemon runs. It returns what came of that, or that ctx is done.
func Wait(ctx context.Context, path string, remove func(Left) error) (Result, error) {
	for {
		r, err := Clear(path, remove)
		if err != nil || r.Stays == 0 {
			return r, err
		}
		select {
		case <-time.After(r.Stays):
		case <-ctx.Done():
			return r, ctx.Err()
		}
	}
}
