package agent

import (
	"fmt"
	"strconv"

	"warren/internal/config"
	"warren/tunnel/wireguard"
)

// marking is how the packets are marked that a tunnel's WireGuard sends.
func marking(t config.Tunnel) wireguard.Marking {
	if t.DSCP == config.DSCPCopy {
		return wireguard.Marking{ECN: t.ECN, CopyDSCP: true}
	}
	return wireguard.Marking{ECN: t.ECN, DSCP: uint8(t.DSCP)}
}

// markingText says it as the keys do.
func markingText(t config.Tunnel) string {
	dscp := dscpName(t.DSCP)
	if t.DSCP == config.DSCPCopy {
		dscp = strconv.Quote(dscp)
	}
	return fmt.Sprintf("ecn = %v and dscp = %s", t.ECN, dscp)
}

// dscpName is the number, or the word for a copy.
func dscpName(dscp int) string {
	if dscp == config.DSCPCopy {
		return "copy"
	}
	return strconv.Itoa(dscp)
}
