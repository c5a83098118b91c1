package flow

import (
	"encoding/binary"
	"fmt"
	"testing"
	"time"

	"warren/tunnel/internal/segment"
	"warren/tunnel/tun"
	"warren/tunnel/wireguard/flow/flowtest"
	"warren/tunnel/wireguard/protocol"
)

// plainDevice is what [tun.Open] makes on a kernel without IFF_VNET_HDR.
type plainDevice struct{ *flowtest.Device }

func (d plainDevice) Write(frame []byte) error {
	if frame[0]|frame[1] != 0 { // as [tun.Device.Write]
		return fmt.Errorf("%w: it needs offload", tun.ErrDropped)
	}
	return d.Device.Write(frame)
}

// An interface without segmentation offload gets the packets as they came.
func TestPlainDevice(t *testing.T) {
	near, far := newPair(t, nearAddr, farAddr)
	near.tunnel.Device, near.tunnel.Joins = plainDevice{near.dev}, false

	// A frame as the far kernel gives it, of three segments.
	const size = 100
	f := make([]byte, tun.HeaderLen+40+3*size)
	f[0], f[1] = 1, 1
	binary.LittleEndian.PutUint16(f[2:], 40)
	binary.LittleEndian.PutUint16(f[4:], size)
	binary.LittleEndian.PutUint16(f[6:], 20)
	binary.LittleEndian.PutUint16(f[8:], 16)
	p := f[tun.HeaderLen:]
	p[0], p[8], p[9] = 0x45, 64, 6
	binary.BigEndian.PutUint16(p[2:], uint16(len(p)))
	p[32], p[33] = 5<<4, 0x10
	split, err := segment.Parse(f)
	if err != nil {
		t.Fatal(err)
	}
	a := newInboundBatch()
	sealer, err := far.tunnel.Peer.Sealer(time.Now(), 3)
	if err != nil {
		t.Fatal(err)
	}
	at := 0
	for range 3 {
		n := split.Next(a.buf[at+protocol.HeaderLen:])
		at += len(sealer.Add(a.buf[at:], n, mtu))
	}
	sealer.Seal()
	a.add(datagrams{n: at, size: at / 3, from: farAddr})
	r := newInbound(near.f, nil, nil)
	r.open(a)
	r.hand(a, false)
	if written, _ := near.dev.Take(); len(written) != 3 || near.tunnel.Counters.Drops.Load() != 0 {
		t.Errorf("%d packets were written, and %d frames dropped; want 3", len(written), near.tunnel.Counters.Drops.Load())
	}
}
