package sockets

import (
	"errors"
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"

	"warren/bgp"
)

// A session with a neighbor on a network with others may be of a stranger there, or of one
// further away, and may be ended by either. Two things help, if both ends have them: a TTL
// that no packet has that was forwarded, and signed segments.

const maxTTL = 255

// secureTTL sends packets with the highest TTL and takes none with a lower one (RFC 5082).
// What a listener accepts inherits that.
func secureTTL(fd int, six bool) error {
	level, ttl, least := unix.IPPROTO_IP, unix.IP_TTL, unix.IP_MINTTL
	if six {
		level, ttl, least = unix.IPPROTO_IPV6, unix.IPV6_UNICAST_HOPS, ipv6MinHopCount
	}
	err := errors.Join(unix.SetsockoptInt(fd, level, ttl, maxTTL), unix.SetsockoptInt(fd, level, least, maxTTL))
	if err != nil {
		return fmt.Errorf("ttl_security: %w", err)
	}
	return nil
}

// ipv6MinHopCount is IPV6_MINHOPCOUNT of linux/in6.h.
const ipv6MinHopCount = 73

// sign has the segments to and from a peer signed with a password (RFC 2385, Linux
// TCP_MD5SIG). Those of the peer's that are not are dropped. An empty password takes that
// back.
func sign(fd int, peer netip.Addr, password bgp.Password) error {
	sig := unix.TCPMD5Sig{Keylen: uint16(len(password))}
	copy(sig.Key[:], password)
	// The port is 0, the address follows it, and in IPv6 a flow label before.
	if peer.Is4() {
		sig.Addr.Family = unix.AF_INET
		a := peer.As4()
		copy(sig.Addr.Data[2:], a[:])
	} else {
		sig.Addr.Family = unix.AF_INET6
		a := peer.As16()
		copy(sig.Addr.Data[6:], a[:])
	}
	err := unix.SetsockoptTCPMD5Sig(fd, unix.IPPROTO_TCP, unix.TCP_MD5SIG, &sig)
	switch {
	case password == "" && errors.Is(err, unix.ENOENT):
		return nil // there was none
	case errors.Is(err, unix.ENOPROTOOPT):
		return errors.New("password: this kernel has no TCP MD5 (CONFIG_TCP_MD5SIG)")
	case err != nil:
		return fmt.Errorf("password: %w", err)
	}
	return nil
}
