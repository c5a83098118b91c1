package flow

import (
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"strconv"
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"

	"warren/tunnel/internal/sysio"
)

// message is the arguments of one sendmsg(2) or recvmsg(2), which are made once and
// used again: net.UDPConn makes new ones, and prepares for calls that take long
// (package sysio).
type message struct {
	header unix.Msghdr
	parts  [maxParts]unix.Iovec
	name   unix.RawSockaddrInet6 // or the shorter RawSockaddrInet4
	oob    [128]byte

	n   int
	err error
}

// prepare is for up to maxParts buffers.
func (m *message) prepare(control int, parts ...[]byte) {
	for i, b := range parts {
		m.parts[i].Base = unsafe.SliceData(b)
		m.parts[i].SetLen(len(b))
	}
	m.header = unix.Msghdr{Name: (*byte)(unsafe.Pointer(&m.name)), Namelen: uint32(unsafe.Sizeof(m.name)), Iov: &m.parts[0]}
	m.header.SetIovlen(len(parts))
	if control > 0 {
		m.header.Control = &m.oob[0]
		m.header.SetControllen(control)
	}
}

// result ends a call; err is that of the RawConn.
func (m *message) result(err error) (int, error) {
	clear(m.parts[:]) // the buffers are not ours
	if err != nil {
		return 0, err
	}
	return m.n, m.err
}

// outgoing is a message to send with.
type outgoing struct {
	message
	try  func(fd uintptr)
	call func(fd uintptr) bool // the same, and reports whether it need not wait
}

// outgoings are those that nobody sends with.
var outgoings = sync.Pool{New: func() any {
	m := new(outgoing)
	m.try = func(fd uintptr) { m.n, m.err = sysio.Sendmsg(int(fd), &m.header) }
	m.call = func(fd uintptr) bool {
		m.try(fd)
		return !m.full()
	}
	return m
}}

// full reports whether there was no room for what was to be sent.
func (m *outgoing) full() bool { return errors.Is(m.err, unix.EAGAIN) }

// sendmsg sends what is in some places, cut by the kernel if size is not 0, with a traffic class,
// from an address if it is valid. Without waits it returns EAGAIN if there is no room.
func (s *Socket) sendmsg(parts [][]byte, size int, class uint8, to netip.AddrPort, from netip.Addr, waits bool) error {
	m := outgoings.Get().(*outgoing)
	defer outgoings.Put(m)
	control := 0
	if size > 0 {
		control = putSegmentSize(m.oob[:], size)
	}
	if class != 0 { // which the socket has
		control += putClass(m.oob[control:], class, to.Addr().Is4())
	}
	if from.IsValid() && from.Is4() == to.Addr().Is4() {
		control += putSource(m.oob[control:], from)
	}
	m.prepare(control, parts...)
	m.setName(to)
	// RawConn lets one at a time write, and who has to wait for that sleeps. The kernel
	// lets all send at once, so that only a full socket is left to wait for.
	err := s.raw.Control(m.try)
	if err == nil && waits && m.full() {
		err = s.raw.Write(m.call)
	}
	_, err = m.result(err)
	return err
}

// setName is for a socket of the address's family.
func (m *message) setName(to netip.AddrPort) {
	port := (*[2]byte)(unsafe.Pointer(&m.name.Port))
	binary.BigEndian.PutUint16(port[:], to.Port())
	if to.Addr().Is4() {
		v4 := (*unix.RawSockaddrInet4)(unsafe.Pointer(&m.name))
		v4.Family, v4.Addr, v4.Zero = unix.AF_INET, to.Addr().As4(), [8]uint8{}
		m.header.Namelen = unix.SizeofSockaddrInet4
		return
	}
	m.name.Family, m.name.Flowinfo, m.name.Addr = unix.AF_INET6, 0, to.Addr().As16()
	m.name.Scope_id = scopeOf(to.Addr().Zone())
}

// scopeOf returns the index of the interface that a zone names, 0 if there is none. The
// zones of addresses that were heard are numbers.
func scopeOf(zone string) uint32 {
	if zone == "" {
		return 0
	}
	if n, err := strconv.ParseUint(zone, 10, 32); err == nil {
		return uint32(n)
	}
	ifi, err := net.InterfaceByName(zone)
	if err != nil {
		return 0
	}
	return uint32(ifi.Index)
}

// incoming is a message to receive with, again and again, by one goroutine at a time.
type incoming struct {
	message
	pace sysio.Pace
}

// receive takes one datagram from a socket, or several of the same sender that the kernel
// has joined, into b. It does not wait: with nothing there, it returns EAGAIN.
func (m *incoming) receive(fd int, b []byte) (datagrams, error) {
	m.prepare(len(m.oob), b)
	m.n, m.err = m.pace.Recvmsg(fd, &m.header)
	n, err := m.result(nil)
	if err != nil {
		return datagrams{}, err
	}
	g := datagrams{n: n, from: m.from()}
	g.size, g.local, g.ecn = parseControl(m.oob[:m.header.Controllen], n)
	return g, nil
}

// from returns the sender of what was received.
func (m *incoming) from() netip.AddrPort {
	port := binary.BigEndian.Uint16((*[2]byte)(unsafe.Pointer(&m.name.Port))[:])
	if m.name.Family == unix.AF_INET {
		return netip.AddrPortFrom(netip.AddrFrom4((*unix.RawSockaddrInet4)(unsafe.Pointer(&m.name)).Addr), port)
	}
	a := netip.AddrFrom16(m.name.Addr)
	if scope := m.name.Scope_id; scope != 0 {
		a = a.WithZone(strconv.Itoa(int(scope))) // its name may change
	}
	return netip.AddrPortFrom(a, port)
}
