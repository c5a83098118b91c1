package main

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// A datagram is one of the WireGuard messages that were seen on an interface.
type datagram struct {
	From, To netip.AddrPort
	Data     []byte
}

const (
	maxRecorded = 5000 // datagrams
	vnetLen     = 10   // of struct virtio_net_hdr
	etherLen    = 14
	gsoUDP      = 5 // VIRTIO_NET_HDR_GSO_UDP_L4 (include/uapi/linux/virtio_net.h)
)

// record writes the datagrams between two routers that pass an interface to a file,
// which appears when it is complete. Until then there is one with .part to its name.
func record(ifname string, a, b netip.AddrPort, d time.Duration, file string) error {
	fd, err := listenPacket(ifname)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	part := file + ".part"
	if err := os.WriteFile(part, nil, 0o600); err != nil {
		return err
	}
	var all []datagram
	frame := make([]byte, 1<<17)
	stop := stopped()
	for end := time.Now().Add(d); time.Now().Before(end) && stop.Err() == nil && len(all) < maxRecorded; {
		n, _, err := unix.Recvfrom(fd, frame, 0)
		if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EINTR) {
			continue // it wakes now and then to look at the clock
		}
		if err != nil {
			return fmt.Errorf("receive on %s: %w", ifname, err)
		}
		for _, seen := range parseFrame(frame[:n]) {
			if seen.From == a && seen.To == b || seen.From == b && seen.To == a {
				all = append(all, seen)
			}
		}
	}
	text, err := json.Marshal(all)
	if err != nil {
		return err
	}
	if err := os.WriteFile(part, text, 0o600); err != nil {
		return err
	}
	counts := map[string]int{}
	for _, seen := range all {
		counts[wgNames[wgType(seen.Data)]]++
	}
	fmt.Printf("recorded %d: %v\n", len(all), counts)
	return os.Rename(part, file)
}

// listenPacket opens a packet socket that sees all of one interface, each frame with
// the header that says how the kernel would cut it (packet(7), PACKET_VNET_HDR).
func listenPacket(ifname string) (int, error) {
	ifi, err := net.InterfaceByName(ifname)
	if err != nil {
		return 0, err
	}
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, fmt.Errorf("packet socket: %w", err)
	}
	err = errors.Join(
		unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_VNET_HDR, 1),
		unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Usec: 100e3}),
		unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, 1<<20),
		unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: htons(unix.ETH_P_ALL), Ifindex: ifi.Index}),
	)
	if err != nil {
		unix.Close(fd)
		return 0, fmt.Errorf("packet socket on %s: %w", ifname, err)
	}
	return fd, nil
}

func htons(v uint16) uint16 { return binary.BigEndian.Uint16(binary.NativeEndian.AppendUint16(nil, v)) }

// parseFrame returns the UDP datagrams of a frame: several, if it is one that the
// kernel has joined or not cut yet.
func parseFrame(b []byte) (all []datagram) {
	if len(b) < vnetLen+etherLen+20 {
		return nil
	}
	joined, size := b[1]&0x7f == gsoUDP, int(binary.NativeEndian.Uint16(b[4:]))
	ethertype := binary.BigEndian.Uint16(b[vnetLen+12:])
	ip := b[vnetLen+etherLen:]
	headLen := int(ip[0]&0xf) * 4
	const fragment = 0x3fff // more fragments, or an offset
	if ethertype != unix.ETH_P_IP || ip[0]>>4 != 4 || ip[9] != unix.IPPROTO_UDP ||
		binary.BigEndian.Uint16(ip[6:])&fragment != 0 || len(ip) < headLen+8 {
		return nil
	}
	udp := ip[headLen:]
	addr := func(at int, port []byte) netip.AddrPort {
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte(ip[at:])), binary.BigEndian.Uint16(port))
	}
	from, to := addr(12, udp), addr(16, udp[2:])
	data := udp[8:]
	if n := int(binary.BigEndian.Uint16(udp[4:])) - 8; n >= 0 && n < len(data) {
		data = data[:n] // what follows is Ethernet's padding
	}
	for len(data) > 0 {
		n := len(data)
		if joined && size > 0 {
			n = min(n, size)
		}
		all = append(all, datagram{from, to, bytes.Clone(data[:n])})
		data = data[n:]
	}
	return all
}

func readRecord(file string) (all []datagram, err error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	return all, json.Unmarshal(text, &all)
}

// recordedTo returns what the victim was sent, recordedFrom what it sent.
func recordedTo(all []datagram, victim netip.AddrPort) (out []datagram) {
	for _, d := range all {
		if d.To == victim {
			out = append(out, d)
		}
	}
	return out
}

func recordedFrom(all []datagram, victim netip.AddrPort) (out []datagram) {
	for _, d := range all {
		if d.From == victim {
			out = append(out, d)
		}
	}
	return out
}

// require says which kinds of messages an attack needs to be one.
func require(all []datagram, types ...uint32) error {
	for _, typ := range types {
		n := 0
		for _, d := range all {
			if wgType(d.Data) == typ {
				n++
			}
		}
		if n == 0 {
			return fmt.Errorf("no %s were recorded", wgNames[typ])
		}
	}
	return nil
}
