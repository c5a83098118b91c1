package wire

import (
	"net/netip"
	"time"

	"warren/bgp"
)

// Start is what the process has to know before it begins.
type Start struct {
	ASN      uint32
	RouterID netip.Addr

	// RestartTime and Restarted are those of engine.Config.
	RestartTime time.Duration
	Restarted   bool

	// UID and GID are the user that the process is to become, if it is root.
	UID, GID int
	// Trusted are the users whose connections of the gobgp command make no room for others'.
	Trusted []uint32

	Settings Settings
}

// Settings may change at any time.
type Settings struct {
	Level       int   // of the log, as package slog has it
	MemoryLimit int64 // of the Go runtime, bytes
}

// Want is bgp.Wanted.
type Want struct {
	Serial    uint64 // greater in each than in the one before
	Neighbors []Neighbor
	Announced []netip.Prefix
	Assigned  map[netip.Prefix][]string
	Absent    []bgp.Absent
	Farewells map[string]bgp.Farewell

	Protected     bool // what follows means something
	Own, Reserved []netip.Prefix
}

// Neighbor is a neighbor with the number by which it is known in all other messages. It gets
// another number with another session, and one that is no longer in use is never used again.
type Neighbor struct {
	ID uint32 // not 0
	// Repeat is another number than before if the daemon is to be told all routes of the neighbor
	// again: it has refused some under a policy that has changed since.
	Repeat uint32
	bgp.Neighbor
}

// Ready says that the speaker works, or why it does not.
type Ready struct {
	Error string
}

// Neighbors tells of those neighbors whose status has changed.
type Neighbors struct {
	Changed []Status
}

// Status is the status of a neighbor.
type Status struct {
	ID uint32
	bgp.NeighborStatus
}

// Settled says that a Want was brought about, but for what has failed.
type Settled struct {
	Serial uint64
	Error  string
}

// Parted says that all sessions have ended that a Want has ended, with what their peers are told.
type Parted struct {
	Serial uint64
}

// Event is something that has happened to a session.
type Event struct {
	ID     uint32
	Kind   bgp.EventKind
	Time   time.Time
	Cause  string
	Lasted time.Duration
}

// Serving says that the gobgp command can no longer be answered on the listener with a number.
type Serving struct {
	Listener uint32
	Error    string
}

// Ping asks whether the process still works. Another one may follow before it is answered; then the last counts.
type Ping struct {
	Number uint32 // from 1, one more each time
}

// Ask asks about a prefix. Another one may follow before it is answered; then the last counts.
type Ask struct {
	Call uint32 // for the answer
	bgp.Question
}

// Explained is the answer to Ask. Its neighbors are known by their numbers.
type Explained struct {
	Call       uint32
	Prefix     netip.Prefix
	Local      bool
	Refused    []netip.Prefix
	Candidates []Candidate
	More       int
	Exports    []Export
}

// Candidate is bgp.Candidate.
type Candidate struct {
	ID uint32
	bgp.Candidate
}

// Export is bgp.Export.
type Export struct {
	ID, From uint32 // From: 0 for none
	Withheld bgp.Withheld
}

// What the process asks for.
const (
	OpListen = "listen" // a listener for a neighbor
	OpDial   = "dial"   // a connection with it
	OpCancel = "cancel" // the answer to a request is not needed any more
)

// A Request asks for a socket.
type Request struct {
	Op       string
	Call     uint32 // for the answer; not 0
	Neighbor uint32
	Timeout  time.Duration // of OpDial
}

// An Answer answers a request, and comes with a descriptor if there is no error. With Call 0 it is
// not asked for: the descriptor is a listener for the gobgp command, and replaces any before;
// without a descriptor there is none any more.
type Answer struct {
	Call     uint32
	Listener uint32 // its number, with Call 0
	Error    string
	Timeout  bool // no answer came from the peer
	Canceled bool
}
