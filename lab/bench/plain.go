package main

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"runtime"
	"time"

	"golang.org/x/sys/unix"

	"warren/lab/topo"
)

// plain is about the least that a tunnel outside of the kernel can be: this program again
// at both ends, where one thread carries packets between a TUN device and a UDP socket as
// they are, without encryption or offload. Its ping says what reading, writing and waking
// take of everybody's. It is no bound: where the kernel places threads matters as much.
type plain struct {
	self string
}

const (
	plainPort   = 51900
	plainDevice = "plain"
)

func (*plain) name() string                            { return namePlain }
func (*plain) title() string                           { return "plain relay" }
func (*plain) binary() string                          { return "" }
func (*plain) version(context.Context) (string, error) { return runtime.Version(), nil }

func (c *plain) prepare(context.Context, *pair) (err error) {
	c.self, err = os.Executable()
	return err
}

func (c *plain) start(ctx context.Context, p *pair) (*session, error) {
	s := &session{addrB: tunnelB}
	for _, e := range []struct {
		host                *topo.Host
		local, remote, addr string
	}{{p.a, underlayA, underlayB, tunnelA}, {p.b, underlayB, underlayA, tunnelB}} {
		proc, err := e.host.Start(c.self, "plain", e.local, e.remote)
		if err != nil {
			return s, err
		}
		s.ends = append(s.ends, proc)
		_, err = topo.Eventually(ctx, 2*time.Millisecond, 5*time.Second, func() error {
			return e.host.IP(ctx, "address replace "+e.addr+"/30 dev "+plainDevice, "link set dev "+plainDevice+" mtu 1420 up")
		})
		if err != nil {
			return s, fmt.Errorf("%w\nits log:\n%s", err, proc.Log())
		}
	}
	return s, nil
}

// plainMain is one end: "plain LOCAL REMOTE", until it is killed.
func plainMain(args []string) error {
	if len(args) != 3 {
		return fmt.Errorf("plain is for the bench's own use")
	}
	runtime.LockOSThread()
	tun, err := openTUN(plainDevice)
	if err != nil {
		return err
	}
	sock, err := plainSocket(args[1], args[2])
	if err != nil {
		return fmt.Errorf("plain: %w", err)
	}
	buf := make([]byte, 1<<16)
	fds := []unix.PollFd{{Fd: int32(tun), Events: unix.POLLIN}, {Fd: int32(sock), Events: unix.POLLIN}}
	for {
		if _, err := unix.Poll(fds, -1); err != nil && err != unix.EINTR {
			return fmt.Errorf("plain: %w", err)
		}
		carry(tun, sock, buf)
		carry(sock, tun, buf)
	}
}

// carry hands over what there is to read. What cannot be written is lost, and while the
// other end does not listen yet, neither can be read.
func carry(from, to int, buf []byte) {
	for {
		n, err := unix.Read(from, buf)
		if err != nil || n == 0 {
			return
		}
		_, _ = unix.Write(to, buf[:n])
	}
}

func plainSocket(local, remote string) (int, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, err
	}
	var addrs [2]unix.SockaddrInet4
	for i, s := range []string{local, remote} {
		a, err := netip.ParseAddr(s)
		if err != nil {
			return 0, err
		}
		addrs[i] = unix.SockaddrInet4{Port: plainPort, Addr: a.As4()}
	}
	if err := unix.Bind(fd, &addrs[0]); err != nil {
		return 0, err
	}
	return fd, unix.Connect(fd, &addrs[1])
}
