package speaker

import (
	"context"
	"math"
	"os"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"

	"warren/bgp/sockets"
	"warren/internal/speaker/wire"
)

// newProcess returns a process that is not there yet.
func newProcess(s *Speaker) *process {
	return &process{s: s, kick: make(chan struct{}, 1), calls: newCalls(), pool: sockets.NewPool(s.cfg.sockets), events: newEventLimit()}
}

// start starts the process and connects to it.
func (s *Speaker) start() (*process, *os.Process, error) {
	p := newProcess(s)
	var theirs []*os.File
	defer func() {
		for _, f := range theirs {
			f.Close()
		}
	}()
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return nil, nil, err
	}
	theirs = append(theirs, null)
	messages, theirMessages, err := wire.Pair(unix.SOCK_STREAM)
	if err != nil {
		return nil, nil, err
	}
	theirs = append(theirs, theirMessages)
	if p.messages, err = wire.NewStream(messages); err != nil {
		return nil, nil, err
	}
	packets, theirPackets, err := wire.Pair(unix.SOCK_SEQPACKET)
	if err != nil {
		p.messages.Close()
		return nil, nil, err
	}
	theirs = append(theirs, theirPackets)
	if p.packets, err = wire.NewPackets(packets); err != nil {
		p.messages.Close()
		return nil, nil, err
	}
	output, theirOutput, err := os.Pipe()
	if err == nil {
		theirs = append(theirs, theirOutput)
		p.output = output
		var running *os.Process
		if running, err = s.exec(null, null, theirOutput, theirMessages, theirPackets); err == nil {
			p.pid = running.Pid
			p.ended, p.end = context.WithCancelCause(context.Background())
			// Opened now, as later the process is another user's and may not be seen; a failure is
			// told by each look.
			p.memory, _ = os.Open("/proc/" + strconv.Itoa(p.pid) + "/statm")
			return p, running, nil
		}
		output.Close()
	}
	p.close()
	return nil, nil, err
}

// exec starts the binary that this process was started from, whatever has become of its file. What
// it may do, it gives up itself (package child): so neither its file nor the directory need be for the
// unprivileged user.
func (s *Speaker) exec(files ...*os.File) (*os.Process, error) {
	// What this process was started with by mistake of others the new one does not get.
	_ = unix.CloseRange(3, math.MaxUint32, unix.CLOSE_RANGE_CLOEXEC) // before Linux 5.11 it does
	argv := []string{"warren", "speaker"}
	if s.cfg.command != nil {
		argv = s.cfg.command
	}
	env := []string{"GOTRACEBACK=single"}
	if zone, ok := os.LookupEnv("TZ"); ok {
		env = append(env, "TZ="+zone)
	}
	return os.StartProcess("/proc/self/exe", argv, &os.ProcAttr{
		Dir:   "/",
		Env:   env,
		Files: files,
		Sys:   &syscall.SysProcAttr{Setpgid: true},
	})
}
