package path

import "sync/atomic"

// Kind is what may become of a packet.
type Kind int

const (
	Passed     Kind = iota // sent on; ARP and ICMP errors of the path too
	Lost                   // by chance
	Dropped                // as the queue before the rate was full
	Reordered              // late; Passed too
	Duplicated             // Passed twice
	TooLarge               // for the MTU, and not fragmented; or a fragment where none pass
	Refused                // by the end that was to send it on, as it is down
	Overrun                // by the emulator, which had too little processor time, or got what is no packet
	kinds
)

// Kinds are the words for them.
var Kinds = map[string]Kind{
	"passed": Passed, "lost": Lost, "dropped": Dropped, "reordered": Reordered,
	"duplicated": Duplicated, "too-large": TooLarge, "refused": Refused, "overrun": Overrun,
}

type counts [kinds]atomic.Uint64
