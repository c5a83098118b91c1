package agent

import (
	"log/slog"
	"net/netip"
	"time"

	"warren/bgp"
	"warren/internal/config"
	"warren/internal/history"
	"warren/tunnel"
)

// event is what the machine is told. One that is about a tunnel has the number with which the
// machine had it opened; one about a tunnel that is not there any more counts for nothing.
type event interface{ isEvent() }

type (
	// configured: these are the peers from now on.
	configured struct{ peers []wantedPeer }
	// using: these are the keys of the sessions of open tunnels, by the tunnels' numbers, and how many
	// prefixes neighbors announce, by name.
	using struct {
		keys      map[uint64]inUse
		announced map[string]int
	}

	// opened is the result of openTunnel.
	opened struct {
		id  uint64
		err error
	}
	// closed is the result of closeTunnel: the interface is gone.
	closed struct{ id uint64 }
	// gone: the tunnel has ended by itself, as its interface is not there any more.
	gone struct {
		id  uint64
		err error
	}
	// wentUp: the tunnel is up, between these ends. Of a tunnel that is up already: it has
	// another session.
	wentUp struct {
		id     uint64
		ends   ends
		beside ends // the pair for an end without IPv6, where the ends are derived
		rtt    time.Duration
		remote netip.AddrPort // on the underlay, if there is one

		told    bool         // the peer has said which addresses it assigns; over TLS it always has
		offered []netip.Addr // these
		called  bool         // the peer has no IPv6, as it has said to the daemon before
		since   time.Time    // since when it is up, in the daemon before; zero: it has come up just now
		lost    string       // why it was down meanwhile, which was not told by itself; "": it was not
	}
	// offered: the peer of a tunnel that is up has said which addresses it assigns.
	offered struct {
		id        uint64
		addresses []netip.Addr
	}
	// judged is the result of judgeAssigned. err is about those that are not accepted, or says that
	// there are none.
	judged struct {
		id, number uint64
		accepted   []netip.Addr
		err        error
	}
	wentDown struct {
		id     uint64
		reason string
	}
	// missed: the attachment with that name was up before `warren restart`, and has not come up since.
	missed struct {
		name string
		came time.Time // when it had come up; zero: that is not known
	}
	// moved: a tunnel that is up, and that two transports carry, is carried by the other one from now on.
	moved struct {
		id        uint64
		transport string
		why       string
	}
	// addressed is the result of setAddresses.
	addressed struct {
		id, number uint64
		back       bool
		addresses  []netip.Prefix
		err        error
		noIPv6     bool // err says that the interface cannot have IPv6
	}
	// stripped: the interface lacks addresses that it was given.
	stripped struct{ id uint64 }
	// mended: what something else had changed of the interface was put right, or could not be.
	mended struct {
		id      uint64
		changed []string
		err     error
	}
	// trusted is the result of setTrust.
	trusted struct {
		id   uint64
		line string
		err  error
	}
	// rekeyed: the two ends of these tunnels know each other by other keys by now, from which they derive
	// other ends, and BGP has no session between the old ones.
	rekeyed   struct{ all []otherKeys }
	otherKeys struct {
		wentUp
		local, peer tunnel.Identity
	}
	// called: the peer has called for BGP over IPv4, while BGP had a session over IPv6 or none.
	called struct {
		id, number  uint64
		established bool
	}

	// located: where this router is on the network of the attachment with that name, or why it
	// is not.
	located struct {
		name string
		at   place
		err  error
	}

	// tried is the result of anything else that is tried again.
	tried struct {
		subject
		err error
	}
	// wrote: what has become of the routes.
	wrote struct{ err error }
	// tick comes once a retryInterval.
	tick struct{}
	// changedAround: something changed that makes it likely that what failed succeeds now.
	changedAround struct{}
	// woke: the machine was asleep.
	woke struct{ asleep time.Duration }
	// spoken: a BGP session has come up or ended.
	spoken struct{ bgp.Event }
	// idle comes when all events that came at once have been taken.
	idle struct{}
)

func (configured) isEvent()    {}
func (using) isEvent()         {}
func (opened) isEvent()        {}
func (closed) isEvent()        {}
func (gone) isEvent()          {}
func (wentUp) isEvent()        {}
func (wentDown) isEvent()      {}
func (missed) isEvent()        {}
func (moved) isEvent()         {}
func (offered) isEvent()       {}
func (judged) isEvent()        {}
func (addressed) isEvent()     {}
func (rekeyed) isEvent()       {}
func (stripped) isEvent()      {}
func (mended) isEvent()        {}
func (trusted) isEvent()       {}
func (called) isEvent()        {}
func (located) isEvent()       {}
func (tried) isEvent()         {}
func (wrote) isEvent()         {}
func (tick) isEvent()          {}
func (changedAround) isEvent() {}
func (woke) isEvent()          {}
func (spoken) isEvent()        {}
func (idle) isEvent()          {}

// effect is what the machine has done. Those of one event are done in their order.
type effect interface{ isEffect() }

type (
	// openTunnel takes its time, and others are done meanwhile. Its result is opened.
	openTunnel struct {
		id   uint64
		name string // of the attachment
		cfg  config.Tunnel
	}
	// closeTunnel likewise. Its result is closed.
	closeTunnel struct {
		id     uint64
		reason string // which the peer is told
		parts  bool   // its BGP session is to end first, by what neighbors the speaker was told of last
	}
	// setTrust has the peer known by the keys that the config has now. Its result is trusted.
	setTrust struct {
		id   uint64
		cfg  config.Tunnel
		line string // what a reload says of it if it succeeds; "": nothing
	}
	// tune has the tunnel use the congestion control and the marking that the config has now.
	tune struct {
		id  uint64
		cfg config.Tunnel
	}
	// setEnds has the transport itself use the addresses in the tunnel that follow from these keys.
	setEnds struct {
		id          uint64
		local, peer tunnel.Identity
	}
	wakeTunnel struct{ id uint64 }
	// setAddresses gives the interface its addresses: those that are configured, or else
	// locals, and those that the peer assigns. Its result is addressed.
	setAddresses struct {
		id, number uint64
		locals     []netip.Addr
		assigned   []netip.Addr
		back       bool // it had them, and has lost some
	}
	// judgeAssigned decides which of the addresses that the peer assigns are taken. Its result is
	// judged.
	judgeAssigned struct {
		id, number uint64
		offered    []netip.Addr
	}
	// listenBeside waits for a peer that has no IPv6. Its results are called.
	listenBeside struct {
		id, number uint64
		ifname     string
		ends       ends
	}
	// endBeside ends that. When it is done the port is free.
	endBeside struct{ id uint64 }
	// setHop says whether routes can use an interface.
	setHop struct {
		ifname string
		down   bool
	}
	// wantNeighbors: these are the neighbors that the speaker is to have, and no others. Those
	// that are absent may come.
	wantNeighbors struct {
		neighbors []bgp.Neighbor
		absent    []bgp.Absent
		farewells map[string]bgp.Farewell // what they are told whose sessions end
	}
	// protectEnds: tunnels have other addresses, which no neighbor may take.
	protectEnds struct{}
	// guardTunnels: these are the interfaces that transports must keep out of.
	guardTunnels struct{ names []string }
	// listen has the transports' doors opened. Its result is tried.
	listen struct{ kind kind }
	// hashPorts has the kernel spread flows by their ports too, or not any more. Its result is
	// tried.
	hashPorts struct{ on bool }
	// begun: all tunnels have been tried once after the start.
	begun struct{}
	// report is a line of what a reload has done.
	report struct{ line string }
	// happened is an event for the history.
	happened struct{ history.Event }
	// logged is a line of the log.
	logged struct {
		level slog.Level
		text  string
		attrs []any
	}
)

func (openTunnel) isEffect()    {}
func (closeTunnel) isEffect()   {}
func (setTrust) isEffect()      {}
func (tune) isEffect()          {}
func (setEnds) isEffect()       {}
func (wakeTunnel) isEffect()    {}
func (setAddresses) isEffect()  {}
func (judgeAssigned) isEffect() {}
func (listenBeside) isEffect()  {}
func (endBeside) isEffect()     {}
func (setHop) isEffect()        {}
func (wantNeighbors) isEffect() {}
func (protectEnds) isEffect()   {}
func (guardTunnels) isEffect()  {}
func (listen) isEffect()        {}
func (hashPorts) isEffect()     {}
func (begun) isEffect()         {}
func (report) isEffect()        {}
func (happened) isEffect()      {}
func (logged) isEffect()        {}
