package tun

import (
	"strings"

	"golang.org/x/sys/unix"
)

// Offload is a set of what a TUN may leave for its reader to do. The bits are
// those of TUNSETOFFLOAD (include/uapi/linux/if_tun.h) and part of the protocol
// between two ends.
type Offload uint8

// What the kernel may hand over instead of doing it before.
const (
	Checksum Offload = unix.TUN_F_CSUM    // packets without their L4 checksum
	TSO4     Offload = unix.TUN_F_TSO4    // unsegmented TCP over IPv4
	TSO6     Offload = unix.TUN_F_TSO6    // unsegmented TCP over IPv6
	TSOECN   Offload = unix.TUN_F_TSO_ECN // TCP segments with CWR set
	USO4     Offload = unix.TUN_F_USO4    // unsegmented UDP over IPv4, Linux 6.2
	USO6     Offload = unix.TUN_F_USO6    // unsegmented UDP over IPv6, Linux 6.2

	tsoOffload = Checksum | TSO4 | TSO6 | TSOECN
	allOffload = tsoOffload | USO4 | USO6
)

// Intersect is what both ends can do. The kernel wants USO for both families or
// none, and nothing works without [Checksum].
func (o Offload) Intersect(other Offload) Offload {
	both := o & other & allOffload
	if both&Checksum == 0 {
		return 0
	}
	if both&(USO4|USO6) != USO4|USO6 {
		both &^= USO4 | USO6
	}
	if both&(TSO4|TSO6) == 0 {
		both &^= TSOECN
	}
	return both
}

func (o Offload) String() string {
	var words []string
	for _, f := range []struct {
		bit  Offload
		name string
	}{{Checksum, "checksum"}, {TSO4, "tso4"}, {TSO6, "tso6"}, {TSOECN, "ecn"}, {USO4, "uso4"}, {USO6, "uso6"}} {
		if o&f.bit != 0 {
			words = append(words, f.name)
		}
	}
	if len(words) == 0 {
		return "none"
	}
	return strings.Join(words, ",")
}
