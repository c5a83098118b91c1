package path

import (
	"encoding/binary"
	"fmt"
	"os"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	// ringFrames may wait in the ring of an end. Those that come then are lost, which Overrun counts.
	ringFrames = 8192
	ringBlock  = 64 << 10
	// ringHeaders is what the kernel puts before a frame, and more.
	ringHeaders = 128
	// vnetHeader is the length of struct virtio_net_hdr, which is before each frame in both directions.
	vnetHeader = 10
)

// ring is the memory that the kernel writes frames into (packet(7), PACKET_RX_RING with TPACKET_V2). Only one
// goroutine reads it.
type ring struct {
	memory []byte
	size   int // of a frame
	at     int // the next frame
}

// newRing gives a packet socket one, for frames of an MTU.
func newRing(fd, mtu int) (*ring, error) {
	size := 2048
	for size < mtu+frameHeader+ringHeaders {
		size *= 2
	}
	if size > ringBlock {
		return nil, fmt.Errorf("path: an MTU of %d is too much", mtu)
	}
	req := unix.TpacketReq{
		Block_size: ringBlock, Block_nr: uint32(ringFrames * size / ringBlock),
		Frame_size: uint32(size), Frame_nr: ringFrames,
	}
	if err := unix.SetsockoptTpacketReq(fd, unix.SOL_PACKET, unix.PACKET_RX_RING, &req); err != nil {
		return nil, os.NewSyscallError("set PACKET_RX_RING", err)
	}
	memory, err := unix.Mmap(fd, 0, ringFrames*size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return nil, os.NewSyscallError("mmap", err)
	}
	return &ring{memory: memory, size: size}, nil
}

func (r *ring) close() error { return unix.Munmap(r.memory) }

// next returns the next frame and when it came, by the wall clock; ok is false if there is none. The
// frame's data is nil if it is not a whole packet. It is the ring's until release is called, and must be
// before next is again.
func (r *ring) next() (f frame, came int64, ok bool) {
	slot := r.memory[r.at*r.size:][:r.size]
	h := (*unix.Tpacket2Hdr)(unsafe.Pointer(&slot[0]))
	if atomic.LoadUint32(&h.Status)&unix.TP_STATUS_USER == 0 {
		return frame{}, 0, false
	}
	came = int64(h.Sec)*int64(time.Second) + int64(h.Nsec)
	vnet := slot[int(h.Mac)-vnetHeader:]
	isSegmented := vnet[1] != 0 // gso_type: several packets in one
	if isSegmented || h.Snaplen < h.Len || h.Len < frameHeader {
		return frame{}, came, true
	}
	f.data = slot[h.Mac:][:h.Snaplen]
	const needsSum = 1 // VIRTIO_NET_HDR_F_NEEDS_CSUM
	if vnet[0]&needsSum != 0 {
		f.sumStart, f.sumOffset = binary.NativeEndian.Uint16(vnet[6:]), binary.NativeEndian.Uint16(vnet[8:])
	}
	return f, came, true
}

// release gives the frame that next returned back to the kernel.
func (r *ring) release() {
	h := (*unix.Tpacket2Hdr)(unsafe.Pointer(&r.memory[r.at*r.size]))
	atomic.StoreUint32(&h.Status, unix.TP_STATUS_KERNEL)
	r.at = (r.at + 1) % ringFrames
}

// putVnet writes what the kernel is to know of a frame that is sent.
func putVnet(header []byte, f *frame) {
	clear(header[:vnetHeader])
	if f.sumStart != 0 {
		header[0] = 1
		binary.NativeEndian.PutUint16(header[6:], f.sumStart)
		binary.NativeEndian.PutUint16(header[8:], f.sumOffset)
	}
}
