package path

import (
	"errors"
	"fmt"
	"math/bits"
	"net"
	"os"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"

	"warren/internal/netns"
)

// Source is the source address of all frames that a path sends: the kernel, at an end of the link, is to drop
// what comes from others, which the path has seen.
const Source = "02:70:61:74:68:00"

var source = [6]byte{0x02, 'p', 'a', 't', 'h', 0}

// Interface is an end of a link.
type Interface struct {
	Netns string // the name of its network namespace, as for `ip netns`
	Name  string
}

// socket is an end of a link, by a packet socket: it receives what arrives there, and sends what is to arrive
// at the other end. One goroutine receives; several may send.
type socket struct {
	fd   int
	ring *ring
}

// openSocket opens it in the namespace of the interface.
func openSocket(i Interface) (s *socket, err error) {
	ns, err := netns.Open(i.Netns)
	if err != nil {
		return nil, fmt.Errorf("path: %w", err)
	}
	defer func() { err = errors.Join(err, ns.Close()) }()
	err = ns.Do(func() (err error) {
		s, err = newSocket(i.Name)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("path: open %s in %s: %w", i.Name, i.Netns, err)
	}
	return s, nil
}

func newSocket(name string) (*socket, error) {
	device, err := net.InterfaceByName(name)
	if err != nil {
		return nil, err
	}
	// Nothing comes before it is bound.
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	s := &socket{fd: fd}
	if err := s.prepare(device); err != nil {
		return nil, errors.Join(err, s.close())
	}
	return s, nil
}

func (s *socket) prepare(device *net.Interface) (err error) {
	for _, o := range []struct {
		name          string
		option, value int
	}{
		{"PACKET_VERSION", unix.PACKET_VERSION, unix.TPACKET_V2},
		{"PACKET_VNET_HDR", unix.PACKET_VNET_HDR, 1},
		{"PACKET_IGNORE_OUTGOING", unix.PACKET_IGNORE_OUTGOING, 1},
		// What is sent has gone through the host's own queues and hooks before.
		{"PACKET_QDISC_BYPASS", unix.PACKET_QDISC_BYPASS, 1},
	} {
		if err := unix.SetsockoptInt(s.fd, unix.SOL_PACKET, o.option, o.value); err != nil {
			return os.NewSyscallError("set "+o.name, err)
		}
	}
	if err := s.ignoreOwn(); err != nil {
		return err
	}
	if s.ring, err = newRing(s.fd, device.MTU); err != nil {
		return err
	}
	all := bits.ReverseBytes16(unix.ETH_P_ALL)
	return os.NewSyscallError("bind", unix.Bind(s.fd, &unix.SockaddrLinklayer{Protocol: all, Ifindex: device.Index}))
}

// ignoreOwn has the socket see nothing of what comes from Source.
func (s *socket) ignoreOwn() error {
	program, err := bpf.Assemble([]bpf.Instruction{
		bpf.LoadAbsolute{Off: 6, Size: 4},
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: 0x02706174, SkipTrue: 3},
		bpf.LoadAbsolute{Off: 10, Size: 2},
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: 0x6800, SkipTrue: 1},
		bpf.RetConstant{Val: 0},
		bpf.RetConstant{Val: 1 << 18},
	})
	if err != nil {
		return err
	}
	filter := make([]unix.SockFilter, len(program))
	for i, in := range program {
		filter[i] = unix.SockFilter{Code: in.Op, Jt: in.Jt, Jf: in.Jf, K: in.K}
	}
	err = unix.SetsockoptSockFprog(s.fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]})
	return os.NewSyscallError("set SO_ATTACH_FILTER", err)
}

// send sends a frame; buffer is for its use.
func (s *socket) send(f *frame, buffer []byte) error {
	b := buffer[:vnetHeader+len(f.data)]
	putVnet(b, f)
	copy(b[vnetHeader:], f.data)
	copy(b[vnetHeader+6:], source[:])
	for {
		_, err := unix.Write(s.fd, b)
		if err != unix.EINTR {
			return err
		}
	}
}

// missed returns how many frames found no room in the ring since it was called last.
func (s *socket) missed() uint64 {
	stats, err := unix.GetsockoptTpacketStats(s.fd, unix.SOL_PACKET, unix.PACKET_STATISTICS)
	if err != nil {
		return 0
	}
	return uint64(stats.Drops)
}

// wait waits until a frame comes, stop becomes readable, or the time is over; none if that is negative.
func (s *socket) wait(stop int, forTime int64) {
	var timeout *unix.Timespec
	if forTime >= 0 {
		ts := unix.NsecToTimespec(forTime)
		timeout = &ts
	}
	fds := []unix.PollFd{{Fd: int32(s.fd), Events: unix.POLLIN}, {Fd: int32(stop), Events: unix.POLLIN}}
	if _, err := unix.Ppoll(fds, timeout, nil); err == nil && fds[0].Revents&unix.POLLERR != 0 {
		// The interface went down. It says so once, and the socket goes on when it is up.
		_, _ = unix.GetsockoptInt(s.fd, unix.SOL_SOCKET, unix.SO_ERROR)
	}
}

func (s *socket) close() error {
	var err error
	if s.ring != nil {
		err = s.ring.close()
	}
	return errors.Join(err, unix.Close(s.fd))
}
