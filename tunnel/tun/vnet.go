package tun

import (
	"encoding/binary"
	"errors"

	"golang.org/x/sys/unix"
)

// Sizes of a frame, in bytes.
const (
	HeaderLen = 10    // struct virtio_net_hdr
	MaxPacket = 65535 // what an IP header can say
	MaxFrame  = HeaderLen + MaxPacket
)

// minSegment is the shortest segment, with its TCP options, that a frame from the
// network may be cut into: 48 bytes, as the kernel's TCP never sends shorter ones
// (TCP_MIN_SND_MSS, include/net/tcp.h). Each segment so costs the sender about what
// a frame of its own would. Only the options of every segment count, the timestamps
// with their padding: a header full of others is no reason for segments of 8 bytes.
const (
	minSegment      = 48
	timestampOption = 12
)

// Bounds on how many packets are made of one frame of this machine's kernel. GRO may
// have joined segments of any size; UDP_MAX_SEGMENTS is 128 (include/linux/udp.h).
const (
	maxTCPSegments = 2048
	maxUDPSegments = 128
)

// struct virtio_net_hdr: u8 flags, u8 gso_type, u16 hdr_len, gso_size,
// csum_start, csum_offset.
const (
	offFlags, offGSOType, offHdrLen        = 0, 1, 2
	offGSOSize, offCsumStart, offCsumOffst = 4, 6, 8
)

// What can be wrong with a frame from the network.
var (
	errShort     = errors.New("frame too short for its headers")
	errVersion   = errors.New("not an IP packet")
	errLength    = errors.New("IP length differs from the packet's")
	errFlags     = errors.New("unknown offload flags")
	errGSOType   = errors.New("offload type does not fit the packet")
	errGSOSize   = errors.New("segment size out of bounds")
	errChecksum  = errors.New("checksum position out of bounds")
	errFragment  = errors.New("offload of a fragment")
	errExtension = errors.New("unknown IPv6 extension header before the transport header")
)

// Check decides whether the kernel may see a frame that came from the network,
// and rewrites its offload header so that only what was checked is left in it. The
// kernel checks much of this itself (include/linux/virtio_net.h); what it believes
// is that lengths in the header describe the packet.
//
// mtu is that of the interface, in bytes. No packet of a frame that is cut is longer,
// and none but the last shorter than [minSegment] allows: TCP segments that are too
// long are made shorter, which TCP takes from any router on the way; everything
// else that does not fit is an error.
func Check(frame []byte, mtu int) error {
	headers, err := check(frame)
	if err != nil || headers == 0 {
		return err
	}
	least, size := minSegment, int(get(frame, offGSOSize))
	if udp := frame[offGSOType] == unix.VIRTIO_NET_HDR_GSO_UDP_L4; !udp {
		options := headers - int(get(frame, offCsumStart)) - 20
		least -= min(options, timestampOption)
		size = min(size, mtu-headers)
	}
	if size < least || headers+size > mtu {
		return errGSOSize
	}
	put(frame, offGSOSize, uint16(size))
	return nil
}

// CheckLocal is Check for a frame of this machine's own kernel, whose segments may
// be as short as an application or a neighbor on a LAN made them.
func CheckLocal(frame []byte) error {
	_, err := check(frame)
	return err
}

// IsFine reports whether a frame of this machine's kernel has segments that are too
// short for the far end's [Check], so that its packets have to be sent one by one.
func IsFine(frame []byte) bool {
	return frame[offGSOType] != unix.VIRTIO_NET_HDR_GSO_NONE && int(get(frame, offGSOSize)) < minSegment &&
		errors.Is(Check(frame, MaxPacket), errGSOSize)
}

// check checks all but the size of segments. headers is the length of a packet's
// headers if the frame will be cut, else 0.
func check(frame []byte) (headers int, err error) {
	if len(frame) > MaxFrame {
		return 0, errLength
	}
	if len(frame) < HeaderLen+1 {
		return 0, errShort
	}
	h, p := frame[:HeaderLen], frame[HeaderLen:]
	ip, err := parseIP(p)
	if err != nil {
		return 0, err
	}
	// VIRTIO_NET_HDR_F_DATA_VALID says that somebody checked the sum already. Only
	// this machine can say that to its kernel.
	flags := h[offFlags] &^ unix.VIRTIO_NET_HDR_F_DATA_VALID
	if flags&^unix.VIRTIO_NET_HDR_F_NEEDS_CSUM != 0 {
		return 0, errFlags
	}
	sum := flags != 0
	h[offFlags] = flags
	if h[offGSOType] == unix.VIRTIO_NET_HDR_GSO_NONE {
		return 0, checkPlain(h, p, ip, sum)
	}
	if !sum {
		return 0, errChecksum
	}
	return checkGSO(h, p, ip)
}

// checkPlain is for a frame that is one packet.
func checkPlain(h, p []byte, ip ipHeader, sum bool) error {
	put(h, offGSOSize, 0)
	if !sum {
		put(h, offHdrLen, 0)
		put(h, offCsumStart, 0)
		put(h, offCsumOffst, 0)
		return nil
	}
	start, offset := int(get(h, offCsumStart)), int(get(h, offCsumOffst))
	if start < ip.len || start+offset+2 > len(p) || (start|offset)&1 != 0 { // no header has its sum at an odd place
		return errChecksum
	}
	put(h, offHdrLen, uint16(start+offset+2))
	return nil
}

// checkGSO is for a frame that the kernel will cut into segments. It returns the
// length of their headers.
func checkGSO(h, p []byte, ip ipHeader) (headers int, err error) {
	if ip.fragment {
		return 0, errFragment
	}
	typ := h[offGSOType]
	l4, err := ip.transport(p, int(get(h, offCsumStart)))
	if err != nil {
		return 0, err
	}
	var sumOffset, maxSegments int
	switch {
	case l4 == unix.IPPROTO_TCP && (ip.v6 && typ&^unix.VIRTIO_NET_HDR_GSO_ECN == unix.VIRTIO_NET_HDR_GSO_TCPV6 ||
		!ip.v6 && typ&^unix.VIRTIO_NET_HDR_GSO_ECN == unix.VIRTIO_NET_HDR_GSO_TCPV4):
		if headers, err = tcpHeaders(p, int(get(h, offCsumStart))); err != nil {
			return 0, err
		}
		sumOffset, maxSegments = 16, maxTCPSegments
	case l4 == unix.IPPROTO_UDP && typ == unix.VIRTIO_NET_HDR_GSO_UDP_L4:
		headers = int(get(h, offCsumStart)) + 8
		sumOffset, maxSegments = 6, maxUDPSegments
	default:
		return 0, errGSOType
	}
	if len(p) < headers {
		return 0, errShort
	}
	if int(get(h, offCsumOffst)) != sumOffset {
		return 0, errChecksum
	}
	size := int(get(h, offGSOSize))
	if size == 0 || headers+size > MaxPacket || len(p)-headers > size*maxSegments {
		return 0, errGSOSize
	}
	put(h, offHdrLen, uint16(headers))
	return headers, nil
}

// tcpHeaders returns where the payload begins of a segment whose TCP header
// begins at start.
func tcpHeaders(p []byte, start int) (int, error) {
	if len(p) < start+20 {
		return 0, errShort
	}
	n := int(p[start+12]>>4) * 4
	if n < 20 {
		return 0, errShort
	}
	return start + n, nil
}

func needsOffload(frame []byte) bool {
	return frame[offFlags]&unix.VIRTIO_NET_HDR_F_NEEDS_CSUM != 0 || frame[offGSOType] != unix.VIRTIO_NET_HDR_GSO_NONE
}

func get(h []byte, off int) uint16 { return binary.LittleEndian.Uint16(h[off:]) }

func put(h []byte, off int, v uint16) { binary.LittleEndian.PutUint16(h[off:], v) }
