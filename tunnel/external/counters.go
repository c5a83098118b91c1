package external

import (
	"os"
	"strconv"
	"strings"

	"warren/tunnel"
)

// devFile has the counters of all interfaces in the network namespace of the
// thread that reads it, which /sys/class/net has not: a mount shows one
// namespace for ever.
const devFile = "/proc/thread-self/net/dev"

// counters reads what the kernel has counted on the interface. Without the
// interface they are zero.
func counters(name string) tunnel.Stats {
	data, err := os.ReadFile(devFile)
	if err != nil {
		return tunnel.Stats{}
	}
	return parseCounters(string(data), name)
}

// parseCounters finds an interface's line in devFile, which looks like this
// (net/core/net-procfs.c; received, then transmitted):
//
//	tun0: bytes packets errs drop fifo frame compressed multicast bytes packets errs drop …
func parseCounters(text, name string) (s tunnel.Stats) {
	for line := range strings.Lines(text) {
		head, rest, found := strings.Cut(strings.TrimSpace(line), ":")
		if !found || head != name {
			continue
		}
		f := strings.Fields(rest)
		if len(f) < 12 {
			return s
		}
		n := make([]uint64, 12)
		for i := range n {
			n[i], _ = strconv.ParseUint(f[i], 10, 64) // the kernel's own numbers
		}
		s.RxBytes, s.RxPackets, s.TxBytes, s.TxPackets = n[0], n[1], n[8], n[9]
		s.Drops = n[2] + n[3] + n[10] + n[11]
		return s
	}
	return s
}
