package topo

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
)

// logNumber tells apart the log files of one program.
var logNumber atomic.Int64

// Process is a background process on a host. Its methods may be called at any
// time and from several goroutines.
type Process struct {
	name   string
	cmd    *exec.Cmd
	log    string
	exited chan struct{}
	err    error // of the process; valid once exited is closed
}

// Start runs a command on the host in the background, its output going to a
// log file of its own. It ends with the topology or, unless the topology is
// kept, with the program, however that ends.
func (h *Host) Start(argv ...string) (*Process, error) {
	base := filepath.Base(argv[0])
	path := filepath.Join(h.topology.dir, fmt.Sprintf("%s-%s-%d.log", h.Name, base, logNumber.Add(1)))
	log, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("topo: log of %s: %w", base, err)
	}
	defer log.Close() // the process has its own descriptor

	line := h.inside(argv)
	cmd := exec.Command(line[0], line[1:]...)
	cmd.Stdout, cmd.Stderr = log, log
	// A group of its own: an interrupt typed at the terminal goes to the program,
	// which then ends its processes in order.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if !h.topology.keep {
		cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL
	}
	if err := onStarter(cmd.Start); err != nil {
		return nil, fmt.Errorf("topo: start %s on %s: %w", base, h.Name, err)
	}
	p := &Process{name: base + " on " + h.Name, cmd: cmd, log: path, exited: make(chan struct{})}
	go func() {
		p.err = cmd.Wait()
		close(p.exited)
	}()
	h.topology.mu.Lock()
	h.topology.procs = append(h.topology.procs, p)
	h.topology.mu.Unlock()
	return p, nil
}

// onStarter calls f on a thread that lives as long as the program: with the thread that has started it a process
// gets the signal at its parent's death (prctl(2), PR_SET_PDEATHSIG), and threads of Go's may end.
func onStarter(f func() error) error {
	starter.Do(func() {
		go func() {
			runtime.LockOSThread()
			for start := range starts {
				start()
			}
		}()
	})
	done := make(chan error, 1)
	starts <- func() { done <- f() }
	return <-done
}

var (
	starter sync.Once
	starts  = make(chan func())
)

// String names the program and its host.
func (p *Process) String() string { return p.name }

// PID is the process number of the command itself.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// LogFile is the path of the file that holds its output.
func (p *Process) LogFile() string { return p.log }

// Log is what it has printed so far, or why that cannot be read.
func (p *Process) Log() string {
	b, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	return string(b)
}

// Running tells whether it has not ended.
func (p *Process) Running() bool {
	select {
	case <-p.exited:
		return false
	default:
		return true
	}
}

// Wait waits until it ends, and returns why: nil for exit status 0, an
// *exec.ExitError for any other end, ctx's error if that was done before.
func (p *Process) Wait(ctx context.Context) error {
	select {
	case <-p.exited:
		if p.err != nil {
			return fmt.Errorf("topo: %s: %w", p.name, p.err)
		}
		return nil
	case <-ctx.Done():
		return fmt.Errorf("topo: wait for %s to end: %w", p.name, ctx.Err())
	}
}

// Stop sends SIGTERM and waits. An end by that very signal is a proper one; a
// process that has not ended when ctx is done is left alone.
func (p *Process) Stop(ctx context.Context) error {
	p.Signal(syscall.SIGTERM)
	err := p.Wait(ctx)
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		if ws, ok := exit.Sys().(syscall.WaitStatus); ok && ws.Signaled() && ws.Signal() == syscall.SIGTERM {
			return nil
		}
	}
	return err
}

// Signal sends a signal; to a process that has ended it does nothing.
func (p *Process) Signal(sig syscall.Signal) {
	_ = p.cmd.Process.Signal(sig) // os.ErrProcessDone is its only error here
}

// Kill9 sends SIGKILL and does not wait.
func (p *Process) Kill9() { p.Signal(syscall.SIGKILL) }
