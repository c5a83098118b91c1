package tunnel

// Invited says of a secret that the two ends are to replace it, as it was handed over in the open.
type Invited int

// The ends of an invitation; the zero Invited is an ordinary secret.
const (
	Inviting Invited = iota + 1 // this end makes the secret that replaces it
	Joined                      // this end is told that by the peer
	// Used is for a transport that says nothing to strangers: this end has made the invitation, and it was used.
	// Whoever comes with it is told so, and comes no further.
	Used
)

// MeetingKind is a step in which the two ends replace the secret of an invitation.
type MeetingKind int

// The steps, which begin again with each session:
//
//  1. At the inviting end a session has begun with the invitation's secret: MeetingBegun. Whoever uses the
//     link makes a secret, stores it, and has the link know it before the invitation's. One that was
//     made in a session before is replaced, as another router may have it.
//  2. The link tells the peer, inside the tunnel.
//  3. There it is MeetingTold. It is stored, and known before the invitation's. So new connections or
//     handshakes are made with it.
//  4. When the session uses it, it is MeetingOver at both ends: the peer has stored it. Then
//     the invitation's secret is taken away.
//
// At each moment what the one end would offer is known to the other.
const (
	MeetingBegun MeetingKind = iota + 1
	MeetingTold
	MeetingOver
)

// Meeting is a step of a link whose last secret is of an invitation.
type Meeting struct {
	Kind   MeetingKind
	Secret []byte // 32 bytes; of MeetingTold what the peer said, of MeetingOver what is used
}
