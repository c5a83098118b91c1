package wireguard

import (
	"net"
	"testing"

	"golang.org/x/sys/unix"
)

// A socket of a program that did not ask what outer packets say of congestion is asked for it when
// it is taken over.
func TestInheritedSocketTellsOfMarks(t *testing.T) {
	c, err := net.ListenUDP("udp4", nil)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := c.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var fd int
	var failed error
	if err := raw.Control(func(f uintptr) { fd, failed = unix.FcntlInt(f, unix.F_DUPFD_CLOEXEC, 0) }); err != nil || failed != nil {
		t.Fatal(err, failed)
	}
	port := uint16(c.LocalAddr().(*net.UDPAddr).Port)
	c.Close()
	e := NewEndpoint(Config{Resume: &EndpointHandover{Sockets: []HandedSocket{{Network: "udp4", Port: port, Descriptor: fd}}}})
	if err := e.SetListenPort(0); err != nil {
		t.Fatal(err)
	}
	p := e.free.current.Load()
	defer p.close()
	if p.port != port {
		t.Fatalf("the socket was not taken over: port %d, want %d", p.port, port)
	}
	own, err := p.v4.Descriptor()
	if err != nil {
		t.Fatal(err)
	}
	if on, err := unix.GetsockoptInt(own, unix.IPPROTO_IP, unix.IP_RECVTOS); err != nil || on != 1 {
		t.Errorf("IP_RECVTOS is %d, %v", on, err)
	}
}
