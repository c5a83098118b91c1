package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"runtime"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/crypto/chacha20poly1305"
	"golang.org/x/sys/unix"

	"warren/lab/topo"
)

// sealing is about the least that an encrypted tunnel in Go can be: this program again at
// both ends, where one goroutine seals what comes from a TUN device and sends it, and
// another opens what arrives and writes it. There is one key, which everybody knows, no
// handshake, no peer, no replay window, no offload, and no check of anything. Its ping says
// what reading, sealing, writing and waking take of everybody's. It is no bound: where the
// kernel places threads matters as much.
type sealing struct {
	self string
}

const (
	sealingPort   = 51900
	sealingDevice = "sealing"
)

func (*sealing) name() string                            { return nameSealing }
func (*sealing) title() string                           { return "sealing relay" }
func (*sealing) binary() string                          { return "" }
func (*sealing) version(context.Context) (string, error) { return runtime.Version(), nil }

func (c *sealing) prepare(context.Context, *pair) (err error) {
	c.self, err = os.Executable()
	return err
}

func (c *sealing) start(ctx context.Context, p *pair) (*session, error) {
	s := &session{addrB: tunnelB}
	for _, e := range []struct {
		host                *topo.Host
		local, remote, addr string
	}{{p.a, underlayA, underlayB, tunnelA}, {p.b, underlayB, underlayA, tunnelB}} {
		proc, err := e.host.Start(c.self, "sealing", e.local, e.remote)
		if err != nil {
			return s, err
		}
		s.ends = append(s.ends, proc)
		_, err = topo.Eventually(ctx, 2*time.Millisecond, 5*time.Second, func() error {
			return e.host.IP(ctx, "address replace "+e.addr+"/30 dev "+sealingDevice, "link set dev "+sealingDevice+" mtu 1420 up")
		})
		if err != nil {
			return s, fmt.Errorf("%w\nits log:\n%s", err, proc.Log())
		}
	}
	return s, nil
}

// sealingMain is one end: "sealing LOCAL REMOTE", until it is killed.
func sealingMain(args []string) error {
	if len(args) != 3 {
		return errors.New("sealing is for the bench's own use")
	}
	tun, err := openTUN(sealingDevice)
	if err != nil {
		return err
	}
	in, err := os.NewFile(uintptr(tun), sealingDevice).SyscallConn()
	if err != nil {
		return fmt.Errorf("sealing: %w", err)
	}
	out, err := sealingSocket(args[1], args[2])
	if err != nil {
		return fmt.Errorf("sealing: %w", err)
	}
	aead, err := chacha20poly1305.New(make([]byte, chacha20poly1305.KeySize))
	if err != nil {
		return fmt.Errorf("sealing: %w", err)
	}
	var nonce [chacha20poly1305.NonceSize]byte
	failed := make(chan error)
	go carry(in, out, failed, func(packet, room []byte) []byte {
		binary.LittleEndian.PutUint64(nonce[:], binary.LittleEndian.Uint64(nonce[:])+1)
		return aead.Seal(append(room, nonce[:]...), nonce[:], packet, nil)
	})
	go carry(out, in, failed, func(msg, room []byte) []byte {
		if len(msg) < len(nonce) {
			return nil
		}
		packet, _ := aead.Open(room, msg[:len(nonce)], msg[len(nonce):], nil) // nil, if it is not of the other end
		return packet
	})
	return fmt.Errorf("sealing: %w", <-failed)
}

// carry hands over what can be read, changed. It makes raw system calls, as Warren does
// (package sysio says why). What cannot be written is lost, and while the other end does
// not listen yet, neither can be read.
func carry(from, to syscall.RawConn, failed chan<- error, change func(b, room []byte) []byte) {
	buf, room := make([]byte, 1<<16), make([]byte, 0, 1<<16)
	var n uintptr
	for {
		err := from.Read(func(fd uintptr) bool {
			var errno syscall.Errno
			n, _, errno = unix.RawSyscall(unix.SYS_READ, fd, uintptr(unsafe.Pointer(&buf[0])), uintptr(len(buf)))
			if errno != 0 {
				n = 0
			}
			return errno != unix.EAGAIN
		})
		if err != nil {
			failed <- err
			return
		}
		if n == 0 {
			continue
		}
		b := change(buf[:n], room)
		if len(b) == 0 {
			continue
		}
		err = to.Control(func(fd uintptr) {
			_, _, _ = unix.RawSyscall(unix.SYS_WRITE, fd, uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)))
		})
		if err != nil {
			failed <- err
			return
		}
	}
}

// sealingSocket returns a socket from one address to the other.
func sealingSocket(local, remote string) (syscall.RawConn, error) {
	from, err := netip.ParseAddr(local)
	if err != nil {
		return nil, err
	}
	to, err := netip.ParseAddr(remote)
	if err != nil {
		return nil, err
	}
	conn, err := net.DialUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(from, sealingPort)),
		net.UDPAddrFromAddrPort(netip.AddrPortFrom(to, sealingPort)))
	if err != nil {
		return nil, err
	}
	return conn.SyscallConn()
}
