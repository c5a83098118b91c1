package tunnel

import (
	"net/netip"
	"time"
)

// Identity tells one router from another, for as long as its keys stay the
// same: the SHA-256 of its certificate, or, towards peers that share a secret
// with it, a value that the router keeps.
type Identity = [32]byte

// State is a word for what a tunnel does now, as `warren status` prints it.
type State string

// The states of a tunnel. A tunnel that may dial is connecting until it is up;
// one that may not is waiting for its peer to dial.
const (
	StateDown       State = "down"       // not running
	StateWaiting    State = "waiting"    // for the peer to dial
	StateConnecting State = "connecting" // dialing, or pausing between attempts
	StateUp         State = "up"         // packets flow
)

// RestartWithin is how long an end is waited for at least that has said that its program is being replaced, however short
// dead_after is: a program needs longer to begin than a peer may be silent.
const RestartWithin = 5 * time.Second

// Event says that a tunnel came up or went down. The events of one tunnel
// alternate, beginning with up, and come from one goroutine in order.
type Event struct {
	Name   string         // of the link, as configured
	Up     bool           //
	Time   time.Time      // when it happened
	Remote netip.AddrPort // the far end of the transport on the underlay
	Local  Identity       // who we are to this peer
	Peer   Identity       // who the peer is; see [Addresses]
	Reason string         // why it went down, in words for the operator

	// Assigned are the addresses that the peer says this router is to have. They are at most
	// MaxAssigned and otherwise unchecked.
	Assigned []netip.Addr

	// Beside is that the peer, which says so over TLS, carries the tunnel over WireGuard too; see package auto.
	Beside bool
}

// Received is what one end of a tunnel has received by a transport beside the one that tells it, in
// packets since it knows the peer.
type Received struct {
	Up   bool   // the transport works, as far as this end can tell
	Sent uint64 // by the peer, as their numbers say
	Got  uint64
}

// Stats counts since the link was made, over all its sessions. Bytes are those
// of the packets in the tunnel, without the transport's own overhead. Several
// segments of one flow that the kernel handed over as one large packet count as
// one packet, as they do in the interface's own counters.
type Stats struct {
	RxBytes, TxBytes     uint64 // from and to the peer
	RxPackets, TxPackets uint64
	Drops                uint64 // packets not delivered, in either direction
	RxMarked             uint64 // those of RxPackets that the path to here has marked with congestion (CE, RFC 3168)
}

// Status is a tunnel at one moment.
type Status struct {
	Transport string // "tls", "wireguard", "auto", "external"
	Datapath  string // "kernel" where the kernel carries what a transport of ours would; else ""
	Interface string
	State     State
	Since     time.Time      // of the last change between up and not up
	Remote    netip.AddrPort // the far end on the underlay; invalid while not up
	Local     Identity
	Peer      Identity      // zero until the peer was seen for the first time
	RTT       time.Duration // smoothed round trip; 0 until measured
	MTU       int           // bytes, of packets inside the tunnel
	Lanes     int           // connections that carry this tunnel now
	Stats     Stats

	// Congestion is the congestion control that the transport's connection uses, as the kernel
	// calls it; "" where the transport has no such connection.
	Congestion string
	// CongestionErr is why that is not the one which suits a tunnel best though the choice was left to the transport; nil: it is, or
	// was not. It wraps fs.ErrNotExist if the kernel does not have that one.
	CongestionErr error

	// Key is which key the peer is known by in this session, of several that it may have:
	// the name of a shared secret, a fingerprint or a public key. KeyPlace says which of
	// the configured ones that is, from 1; 0 is none of them, as the secret was replaced.
	Key      string
	KeyPlace int

	// Handshake is when the peer's last session was agreed on, of transports that have
	// one at a time (wireguard); zero: never.
	Handshake time.Time

	LastError string // why the tunnel is not up, or was last not up; empty if never
	Hint      string // what the operator should know of a tunnel that is up; empty: nothing

	Ways []Way // of "auto": the two transports
}

// Way is one of the transports of a tunnel that has several.
type Way struct {
	Status
	Carries bool      // what this end sends goes by it
	At      time.Time // since when it does; zero if it does not
	Why     string    // it does, in words for the operator
	Loss    float64   // what part of the packets that this end sent by it lately got lost, 0 to 1; negative: not known
}

// Refusal is what one source was refused for, last.
type Refusal struct {
	Source netip.Addr // on the underlay; who sends may forge it
	Reason string     // in words for the operator
	Count  uint64     // how often
	Last   time.Time
	// Unfinished is set if nothing that the source has shown was wrong: its handshake has not come to its end, as one has not
	// that another connection was faster than.
	Unfinished bool
}
