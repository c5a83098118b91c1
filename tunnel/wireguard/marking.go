package wireguard

import "warren/tunnel/wireguard/flow"

// Marking is the traffic class of a tunnel's outer packets.
type Marking = flow.Marking

// SetMarking has the tunnel's outer packets be marked so from now on. It may be called from any
// goroutine.
func (l *Link) SetMarking(m Marking) { l.flow.SetMarking(m) }
