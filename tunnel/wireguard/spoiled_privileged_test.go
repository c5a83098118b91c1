//go:build privileged

package wireguard

import (
	"encoding/binary"
	"net"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"warren/internal/netns"
	"warren/tunnel/tun"
	"warren/tunnel/wireguard/protocol"
)

// A datagram that was spoiled on its way waits in the socket, and is thrown away when it
// is received. Packets that wait for what comes next do not wait for that.
func TestSpoiledDatagramHoldsNothingBack(t *testing.T) {
	netns.RequireRoot(t)
	r, _ := receiverFixture(t)
	s := newStage(t, LinkConfig{}, 0)
	r.e.links.Store(s.l.peer, s.l)

	// A packet of the link, as if it had come with a full piece.
	f := frame(100, 1)
	sealer, err := s.peer.Sealer(s.now, 1)
	if err != nil {
		t.Fatal(err)
	}
	a := newArrival()
	copy(a.buf[protocol.HeaderLen:], f[tun.HeaderLen:])
	n := len(sealer.Add(a.buf[:], 100, DefaultMTU))
	sealer.Seal()
	a.add(group{n: n, size: n, from: farAddr})
	(&receiver{e: s.l.e}).open(a)
	if len(a.frames) != 1 {
		t.Fatalf("%d frames", len(a.frames))
	}

	// UDP with a wrong checksum.
	to := r.s.conn.LocalAddr().(*net.UDPAddr)
	raw, err := unix.Socket(unix.AF_INET, unix.SOCK_RAW, unix.IPPROTO_UDP)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(raw)
	var spoiled [200]byte // the kernel checks shorter ones as they arrive
	binary.BigEndian.PutUint16(spoiled[0:], 1234)
	binary.BigEndian.PutUint16(spoiled[2:], uint16(to.Port))
	binary.BigEndian.PutUint16(spoiled[4:], uint16(len(spoiled)))
	binary.BigEndian.PutUint16(spoiled[6:], 0xbad)
	if err := unix.Sendto(raw, spoiled[:], 0, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}

	r.order.finish(r.order.come(), a) // hands it on, while the datagram waits
	r.team.start()
	for deadline := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		if written, _ := s.l.dev.(*fakeDevice).take(); len(written) == 1 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the packet is held back")
		}
	}
}
