package flow

import (
	"log/slog"
	"net/netip"
	"sync/atomic"

	"warren/tunnel/internal/report"
	"warren/tunnel/wireguard/pathmtu"
	"warren/tunnel/wireguard/protocol"
)

// Device is the interface of a tunnel; [tun.Device] is one, and says what the methods do.
type Device interface {
	Wait(queue int) error
	Readable(queue int) bool
	TryRead(queue int, p []byte) (int, error)
	Write(frame []byte) error
}

// Sender sends a burst to a peer, with a source address of ours if it is valid, else with that
// of the route. It may be called from any goroutine, and does not keep the burst.
type Sender interface {
	Send(b *Burst, to netip.AddrPort, from netip.Addr) error
}

// Tunnel is one tunnel as its packets need it. What is not atomic is set before the tunnel is
// added to its flow, and does not change.
type Tunnel struct {
	Flow   *Flow
	Peer   *protocol.Peer
	Device Device
	Joins  bool // Device takes frames of several packets
	Out    Sender
	Logger *slog.Logger
	// Notify is called for whatever comes while the tunnel is not up, and when Large becomes
	// true. Probed is called for packets of package pathmtu: with an answer to send inside the
	// tunnel, or with nil and the token that the peer has answered; Assigns for its messages about
	// assigned addresses; Notices for what it says of itself; Told, which may be nil,
	// for the secret that it tells. None may block.
	Notify  func()
	Probed  func(answer []byte, token pathmtu.Token)
	Assigns func(pathmtu.Assign)
	Notices func(pathmtu.Notice)
	Told    func([pathmtu.SecretLen]byte)

	Up    atomic.Bool                  // the link says
	Limit atomic.Int32                 // of packets in the tunnel, in bytes
	Ends  atomic.Pointer[pathmtu.Ends] // between which path MTU probes go; never nil
	Large atomic.Bool                  // packets of more than LargePacket bytes were sent

	Counters report.Counters

	// source is the address of ours that the peer sends to, so that it is answered from
	// there; nil: unknown.
	source atomic.Pointer[netip.Addr]
	told   atomic.Int64 // Unix time in ns when a sender was told of a packet that is too large

	marking    atomic.Pointer[Marking] // nil: the zero one
	complained atomic.Int64            // by Flow.Now, Unix time in ns, when the log was told of wrong marks; 0: never
}

// LargePacket is more bytes than sessions of BGP and their like send while nothing happens.
const LargePacket = 512

// sendsLarge notes the longest packet of a frame that is sealed, in bytes.
func (t *Tunnel) sendsLarge(longest int) {
	if longest > LargePacket && !t.Large.Load() {
		t.Large.Store(true)
		t.Notify()
	}
}

// takeProbe looks at a packet that arrived and may be a path MTU probe, the answer to one, or
// about assigned addresses, a restart or a secret, and reports whether it was.
func (t *Tunnel) takeProbe(packet []byte) bool {
	ends := t.Ends.Load()
	if answer, token, answers := ends.Take(packet); answer != nil || answers {
		t.Probed(answer, token)
		return true
	}
	if m, ok := ends.TakeAssign(packet); ok {
		t.Assigns(m)
		return true
	}
	if n, ok := ends.TakeNotice(packet); ok {
		t.Notices(n)
		return true
	}
	secret, ok := pathmtu.TakeSecret(packet)
	if ok && t.Told != nil {
		t.Told(secret)
	}
	return ok
}
