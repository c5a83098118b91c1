//go:build privileged

package flow

import (
	"encoding/binary"
	"net"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"warren/internal/netns"
	"warren/tunnel/wireguard/flow/flowtest"
)

// A datagram that was spoiled on its way waits in the socket, and is thrown away when it
// is received. Packets that wait for what comes next do not wait for that.
func TestSpoiledDatagramHoldsNothingBack(t *testing.T) {
	netns.RequireRoot(t)
	r, _ := inboundFixture(t)
	near, far := newPair(t, nearAddr, farAddr)
	r.f = near.f

	// A packet of the tunnel, as if it had come with a large batch.
	a := newInboundBatch()
	n := copy(a.buf[:], far.seal(flowtest.UDP(100, 1), mtu))
	a.add(datagrams{n: n, size: n, from: farAddr})
	r.open(a)
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

	r.stage.reorder.finish(r.stage.reorder.number(), a) // hands it on, while the datagram waits
	r.stage.start()
	for deadline := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		if written, _ := near.dev.Take(); len(written) == 1 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the packet is held back")
		}
	}
}
