package main

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/signal"
	"runtime"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// flowMain is this program as an end of a flow: "flow-send SOURCE DESTINATION PORT", "flow-receive PORT",
// until SIGTERM.
func flowMain(args []string) error {
	stop := new(atomic.Bool)
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM)
	go func() {
		<-signals
		stop.Store(true)
	}()
	runtime.LockOSThread()
	switch {
	case args[0] == "flow-send" && len(args) == 4:
		return flowSend(args[1], args[2], args[3], stop)
	case args[0] == "flow-receive" && len(args) == 2:
		return flowReceive(args[1], stop)
	}
	return fmt.Errorf("%s is for the bench's own use", args[0])
}

// flowSend sends numbered packets, and prints how many there were. It stands for another machine: where
// the kernel allows it, it goes before all other processes.
func flowSend(from, to, port string, stop *atomic.Bool) error {
	_ = unix.SchedSetAttr(0, &unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_FIFO, Priority: 10}, 0)
	source, err1 := netip.ParseAddr(from)
	destination, err2 := netip.ParseAddr(to)
	number, err3 := strconv.Atoi(port)
	if err := errors.Join(err1, err2, err3); err != nil {
		return err
	}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("flow: socket: %w", err)
	}
	if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: source.As4()}); err != nil {
		return fmt.Errorf("flow: bind to %s: %w", source, err)
	}
	at := &unix.SockaddrInet4{Port: number, Addr: destination.As4()}
	var due unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &due); err != nil {
		return fmt.Errorf("flow: clock: %w", err)
	}
	payload := make([]byte, udpPayload)
	count := uint64(0)
	for ; !stop.Load(); count++ {
		binary.BigEndian.PutUint64(payload, count)
		_ = unix.Sendto(fd, payload, 0, at) // what cannot be sent, for want of a route, is lost
		due = unix.NsecToTimespec(due.Nano() + flowInterval.Nanoseconds())
		for unix.ClockNanosleep(unix.CLOCK_MONOTONIC, unix.TIMER_ABSTIME, &due, nil) == unix.EINTR {
		}
	}
	fmt.Println(count)
	return nil
}

// flowReceive prints "ready", "first" at the first packet, and at the end the number of each and when the
// kernel received it, so that it does not matter when this process gets a processor.
func flowReceive(port string, stop *atomic.Bool) error {
	number, err := strconv.Atoi(port)
	if err != nil {
		return err
	}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("flow: socket: %w", err)
	}
	if err := setReceiveBuffer(fd); err != nil {
		return err
	}
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TIMESTAMPNS, 1); err != nil {
		return fmt.Errorf("flow: time stamps: %w", err)
	}
	if err := unix.Bind(fd, &unix.SockaddrInet4{Port: number}); err != nil {
		return fmt.Errorf("flow: bind: %w", err)
	}
	if err := setPatience(fd, flowSilence); err != nil {
		return err
	}
	fmt.Println("ready")
	all, err := collect(fd, stop)
	if err != nil {
		return err
	}
	out := bufio.NewWriter(os.Stdout)
	for _, a := range all {
		fmt.Fprintln(out, a.number, a.at)
	}
	return out.Flush()
}

// collect receives until stop is set and nothing has come for flowSilence.
func collect(fd int, stop *atomic.Bool) ([]arrival, error) {
	var all []arrival
	payload, control := make([]byte, 2*udpPayload), make([]byte, unix.CmsgSpace(int(unsafe.Sizeof(unix.Timespec{}))))
	for {
		stopping := stop.Load()
		n, size, _, _, err := unix.Recvmsg(fd, payload, control, 0)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case errors.Is(err, unix.EAGAIN) && stopping:
			return all, nil
		case errors.Is(err, unix.EAGAIN):
			continue
		case err != nil:
			return nil, fmt.Errorf("flow: receive: %w", err)
		case n != udpPayload:
			continue
		}
		if len(all) == 0 {
			fmt.Println("first")
		}
		all = append(all, arrival{int64(binary.BigEndian.Uint64(payload)), stampOf(control[:size])})
	}
}

// stampOf reads when the kernel received a packet (SO_TIMESTAMPNS of socket(7)).
func stampOf(control []byte) int64 {
	messages, err := unix.ParseSocketControlMessage(control)
	for _, m := range messages {
		if err == nil && m.Header.Type == unix.SCM_TIMESTAMPNS && len(m.Data) >= 16 {
			return int64(binary.NativeEndian.Uint64(m.Data))*1e9 + int64(binary.NativeEndian.Uint64(m.Data[8:]))
		}
	}
	return time.Now().UnixNano()
}
