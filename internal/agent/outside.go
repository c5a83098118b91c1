package agent

import (
	"context"
	"net/netip"
	"time"

	"warren/bgp"
	"warren/internal/config"
	"warren/internal/speaker"
	"warren/tunnel"
)

// tunnelHandle is a tunnel interface, and what works it or watches it.
type tunnelHandle interface {
	Status() tunnel.Status
	// Ends returns the two addresses inside the tunnel for the session that
	// the event began; link-local ones have a zone. Where they are derived, which are
	// IPv6 ones, beside is the pair for an end without IPv6; else it is not valid.
	Ends(tunnel.Event) (local, peer netip.Addr, beside ends)
	// SetAddresses gives the interface the addresses that a session from one of the local
	// ones needs, and those that the peer assigns, and returns what it has then. The error wraps link.ErrNoIPv6 where it
	// cannot have an IPv6 one.
	SetAddresses(locals, assigned []netip.Addr) ([]netip.Prefix, error)
	// Index returns the index of an interface of our own, and 0 for another.
	Index() int
	// Mend puts right what something else changed of an interface of our own,
	// and returns what that was. An error that wraps tun.ErrLost says that the interface
	// has got another name or is in another namespace.
	Mend() (changed []string, err error)
	// Wake is called when the machine woke up from a sleep.
	Wake()
	// SetTrust has the peer known by what the config says of that now. A session stays if its
	// key does. An error leaves all as it was.
	SetTrust(config.Tunnel) error
	// Tune has connections and packets from now on use the congestion control and the marking
	// that the config says, as far as the transport has them.
	Tune(config.Tunnel)
	// Close ends the session and tells the peer why. An interface of our own
	// is gone when it returns. Call it once, and nothing else after it.
	Close(reason string)
}

// keyedTunnel is a tunnel whose session may get other keys while it is up.
type keyedTunnel interface {
	// SetEnds has packets of the transport's own in the tunnel go between the addresses that follow from the keys of the two ends.
	SetEnds(local, peer tunnel.Identity)
}

// toldTunnel is a tunnel over which the two ends can tell each other that they have lost another one. Neither method blocks.
type toldTunnel interface {
	// TellLost tells the peer which tunnel this router has no way by any more.
	TellLost(tunnel.SessionID)
	// TakeLost takes this tunnel down if it is that one, by which the peer has no way any more.
	TakeLost(tunnel.SessionID)
}

// tunnelOpener makes the tunnel of an attachment, which name is the name of. It is called from
// several goroutines at once.
type tunnelOpener interface {
	Open(name string, t config.Tunnel, r reporter) (tunnelHandle, error)
}

// reporter is how an open tunnel reports to the loop. Its functions may be
// called from any goroutine, before Open has returned too, and do not block.
type reporter struct {
	event  func(tunnel.Event) // it came up or went down
	failed func(error)        // it has ended by itself: the interface is gone
	// offered is for the addresses that the peer assigns, if it says so when the tunnel is up already.
	offered func([]netip.Addr)
	// moved is for a tunnel that is up and is carried by another of its transports from now on, with why in words.
	moved func(transport, why string)
	// meeting is for the steps in which an invitation's secret is replaced.
	meeting func(tunnel.Meeting)
	// lost is for a tunnel by which this router has no way to the peer any more, and peerLost for what the peer says of
	// one by which it has none, see lost.go.
	lost, peerLost func(tunnel.SessionID)
}

// bgpSpeaker is what the loop needs of speaker.Speaker.
type bgpSpeaker interface {
	Want(bgp.Wanted)
	Settle(context.Context) error
	Part(context.Context) // waits until the sessions have ended that Want has ended
	TakeChanges(most int) (changes map[netip.Prefix]bgp.Route, more bool)
	Neighbors() []bgp.NeighborStatus
	Explain(context.Context, bgp.Question) (bgp.Explanation, error)
	Events() <-chan struct{}
	Status() speaker.Status
	SetLimits(memoryMax int64, restartTime time.Duration)
	// TakeUp has what the daemon before knew of routes be learned. It is called first.
	TakeUp() error
}
