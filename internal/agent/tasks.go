package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"
)

// stopTimeout is how long one task may take to stop before the next one is
// told to: a stuck part must not keep the others from cleaning up.
const stopTimeout = 5 * time.Second

// removeTimeout is how long the removal of the routes may take. A million take some
// seconds, and what is left would go on attracting traffic.
const removeTimeout = time.Minute

// tasks runs the agent's long-lived parts and stops them in the reverse order
// of their start. Not safe for concurrent use.
type tasks struct {
	log    *slog.Logger
	failed chan error
	stack  []task
}

type task struct {
	name   string
	within time.Duration // how long stopping may take
	stop   func()
	done   <-chan struct{}
}

func newTasks(log *slog.Logger) *tasks {
	return &tasks{log: log, failed: make(chan error, 16)}
}

// start runs a part until stop is called. A part that ends by itself, with an
// error or without, is reported on failed.
func (t *tasks) start(name string, run func(context.Context) error) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		err := run(ctx)
		if ctx.Err() != nil {
			if err != nil && !errors.Is(err, context.Canceled) {
				t.log.Warn("a part of the daemon stopped with an error", "part", name, "err", err)
			}
			return
		}
		if err == nil {
			err = errors.New("ended unexpectedly")
		}
		select {
		case t.failed <- fmt.Errorf("%s: %w", name, err):
		default:
		}
	}()
	t.stack = append(t.stack, task{name: name, within: stopTimeout, stop: cancel, done: done})
}

// startReady starts a part and waits until it is ready, or has failed.
func (t *tasks) startReady(ctx context.Context, name string, part interface {
	Run(context.Context) error
	Ready() <-chan struct{}
}) error {
	t.start(name, part.Run)
	select {
	case <-part.Ready():
		return nil
	case err := <-t.failed:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// cleanup registers something to do when everything started later has stopped.
func (t *tasks) cleanup(name string, within time.Duration, f func()) {
	done := make(chan struct{})
	t.stack = append(t.stack, task{name: name, within: within, done: done, stop: func() {
		go func() { defer close(done); f() }()
	}})
}

// stopAll stops everything, last started first.
func (t *tasks) stopAll() {
	for i := len(t.stack) - 1; i >= 0; i-- {
		p := t.stack[i]
		p.stop()
		select {
		case <-p.done:
		case <-time.After(p.within):
			t.log.Error("a part of the daemon does not stop, going on without it", "part", p.name)
		}
	}
	t.stack = nil
}
