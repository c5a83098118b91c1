package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"warren/lab/topo"
)

const (
	udpPayload = 64
	udpPort    = 5301
	// udpSilence after the last packet ends the count; udpPatience is how long
	// the receiver waits for the first one.
	udpSilence  = time.Second
	udpPatience = 15 * time.Second
)

// smallPackets sends small UDP packets from A as fast as one thread can, one
// system call each, and returns how many per second left A and arrived at B. This program
// is run again at both ends for that: iperf3 spends more on each packet than some
// tunnels do.
func smallPackets(ctx context.Context, p *pair, addr string, seconds int) (sent, arrived float64, err error) {
	self, err := os.Executable()
	if err != nil {
		return 0, 0, fmt.Errorf("run this program again: %w", err)
	}
	receiver, err := p.b.Start(self, "udp-receive", addr)
	if err != nil {
		return 0, 0, err
	}
	_, err = topo.Eventually(ctx, 5*time.Millisecond, 5*time.Second, func() error {
		if !strings.Contains(receiver.Log(), "ready") {
			return fmt.Errorf("UDP receiver is not ready: %s", receiver.Log())
		}
		return nil
	})
	if err != nil {
		return 0, 0, err
	}
	out, err := p.a.Run(ctx, self, "udp-send", addr, strconv.Itoa(seconds))
	if err != nil {
		return 0, 0, err
	}
	if err := receiver.Wait(ctx); err != nil {
		return 0, 0, fmt.Errorf("%w: %s", err, receiver.Log())
	}
	if sent, err = udpRate(out); err != nil {
		return 0, 0, err
	}
	arrived, err = udpRate(strings.TrimPrefix(receiver.Log(), "ready\n"))
	return sent, arrived, err
}

// udpRate reads what printRate has printed, in packets per second.
func udpRate(printed string) (float64, error) {
	var count int
	var elapsed float64
	if _, err := fmt.Sscan(printed, &count, &elapsed); err != nil {
		return 0, fmt.Errorf("UDP sender or receiver printed %q: %w", printed, err)
	}
	return float64(count) / elapsed, nil
}

func printRate(count int, elapsed time.Duration) { fmt.Println(count, elapsed.Seconds()) }

// udpMain is this program as sender or receiver: "udp-send ADDR SECONDS", "udp-receive ADDR".
func udpMain(args []string) error {
	if len(args) < 2 {
		return errors.New("udp-send and udp-receive are for the bench's own use")
	}
	addr, err := netip.ParseAddr(args[1])
	if err != nil {
		return err
	}
	to := &unix.SockaddrInet4{Port: udpPort, Addr: addr.As4()}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("UDP socket: %w", err)
	}
	defer func() { _ = unix.Close(fd) }() // the process ends next
	if args[0] == "udp-receive" {
		return udpReceive(fd, to)
	}
	seconds, err := strconv.Atoi(args[len(args)-1])
	if err != nil {
		return err
	}
	return udpSend(fd, to, time.Duration(seconds)*time.Second)
}

// udpSend uses a blocking descriptor, past Go's poller, which would cost as much
// as the system call itself.
func udpSend(fd int, to *unix.SockaddrInet4, d time.Duration) error {
	if err := unix.Connect(fd, to); err != nil {
		return fmt.Errorf("UDP connect: %w", err)
	}
	payload := make([]byte, udpPayload)
	count := 0
	for end := time.Now().Add(d); time.Now().Before(end); count++ {
		// A full queue is the tunnel's answer to the load, not a failure.
		if _, err := unix.Write(fd, payload); err != nil && !errors.Is(err, unix.ENOBUFS) {
			return fmt.Errorf("UDP send: %w", err)
		}
	}
	printRate(count, d)
	return nil
}

// udpReceive prints how many packets came, and in how many seconds from the first
// to the last.
func udpReceive(fd int, at *unix.SockaddrInet4) error {
	if err := setReceiveBuffer(fd); err != nil {
		return err
	}
	if err := unix.Bind(fd, at); err != nil {
		return fmt.Errorf("UDP bind: %w", err)
	}
	fmt.Println("ready")
	var count int
	var first, last time.Time
	payload := make([]byte, 2*udpPayload)
	if err := setPatience(fd, udpPatience); err != nil {
		return err
	}
	for {
		_, err := unix.Read(fd, payload)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case errors.Is(err, unix.EAGAIN) && count > 1:
			printRate(count, last.Sub(first))
			return nil
		case err != nil:
			return fmt.Errorf("UDP receive, after %d packets: %w", count, err)
		}
		last = time.Now()
		if count++; count == 1 {
			first = last
			if err := setPatience(fd, udpSilence); err != nil {
				return err
			}
		}
	}
}

// setReceiveBuffer gives a socket room for what comes while its process waits for a processor.
func setReceiveBuffer(fd int) error {
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 8<<20); err != nil {
		// Without root in the first namespace the system's limit has to do.
		if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, 8<<20); err != nil {
			return fmt.Errorf("UDP receive buffer: %w", err)
		}
	}
	return nil
}

func setPatience(fd int, d time.Duration) error {
	tv := unix.NsecToTimeval(d.Nanoseconds())
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &tv); err != nil {
		return fmt.Errorf("UDP receive timeout: %w", err)
	}
	return nil
}
