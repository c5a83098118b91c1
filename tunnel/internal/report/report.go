// Package report is what a link tells of itself: the part of a tunnel's status that its
// goroutines change and others look at, and the counters of those that move packets.
package report

import (
	"net/netip"
	"regexp"
	"sync"
	"sync/atomic"
	"time"

	"warren/tunnel"
)

// Counters are what a transport counts in [tunnel.Stats]. They may be added to from any
// goroutine.
type Counters struct {
	RxBytes, RxPackets, RxMarked, TxBytes, TxPackets, Drops atomic.Uint64
}

// Stats returns what was counted so far.
func (c *Counters) Stats() tunnel.Stats {
	return tunnel.Stats{
		RxBytes: c.RxBytes.Load(), RxPackets: c.RxPackets.Load(),
		TxBytes: c.TxBytes.Load(), TxPackets: c.TxPackets.Load(),
		RxMarked: c.RxMarked.Load(), Drops: c.Drops.Load(),
	}
}

// Report is a tunnel's status without its counters. Its methods may be called from any
// goroutine.
type Report struct {
	mu     sync.Mutex
	status tunnel.Status
	said   map[string]time.Time // reasons that were news since the tunnel was up last, and when
}

// New returns the report of a link that does not run.
func New(transport, ifname string, mtu int) *Report {
	return &Report{status: tunnel.Status{
		Transport: transport, Interface: ifname, MTU: mtu, State: tunnel.StateDown, Since: time.Now(),
	}}
}

// Status returns the status at this moment.
func (r *Report) Status() tunnel.Status {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.status
}

// Change changes what has no method of its own. State is not for it.
func (r *Report) Change(f func(*tunnel.Status)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	f(&r.status)
}

// IsUp reports whether the tunnel is.
func (r *Report) IsUp() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.status.State == tunnel.StateUp
}

// Rest is what a running link is while it has no session.
func Rest(remotes []string) tunnel.State {
	if len(remotes) == 0 {
		return tunnel.StateWaiting
	}
	return tunnel.StateConnecting
}

// SetState goes to a state. Since changes only between up and not up.
func (r *Report) SetState(now time.Time, to tunnel.State) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.setState(now, to)
}

func (r *Report) setState(now time.Time, to tunnel.State) {
	if (to == tunnel.StateUp) != (r.status.State == tunnel.StateUp) {
		r.status.Since = now
	}
	r.status.State = to
}

// Up notes that the tunnel is up. Why it was down is not forgotten by that.
func (r *Report) Up(now time.Time, remote netip.AddrPort) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.setState(now, tunnel.StateUp)
	r.status.Remote, r.said = remote, nil
}

// Down notes that the tunnel is not up any more, what it is instead, and why.
func (r *Report) Down(now time.Time, to tunnel.State, reason string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.setState(now, to)
	r.status.LastError = steady(reason)
	r.status.Remote, r.status.RTT, r.status.Lanes = netip.AddrPort{}, 0, 0
}

// Reasons that take turns are news again after repeatAfter; so many are remembered.
const (
	repeatAfter = 10 * time.Minute
	maxSaid     = 32
)

// SetError notes why the tunnel is not up, "" to forget it, and reports whether that is
// news. It is not where the reason is the one before, nor where several take turns: a
// peer that is tried by many ways fails by each of them in its own.
func (r *Report) SetError(reason string) (news bool) {
	reason = steady(reason)
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.status.LastError == reason {
		return false
	}
	r.status.LastError = reason
	now := time.Now()
	if at, said := r.said[reason]; said && now.Sub(at) < repeatAfter {
		return false
	}
	if r.said == nil || len(r.said) >= maxSaid {
		r.said = make(map[string]time.Time)
	}
	r.said[reason] = now
	return true
}

// localEnd is how package net writes the local end of a connection before the remote one,
// as in "read udp 127.0.0.1:40123->127.0.0.53:53: i/o timeout".
var localEnd = regexp.MustCompile(`[0-9A-Za-z.:%\[\]_-]+:[0-9]+->`)

// steady is a reason without the port that the kernel chose for this one try.
func steady(reason string) string { return localEnd.ReplaceAllString(reason, "") }

// Measured takes a round trip of a tunnel that is up.
func (r *Report) Measured(rtt time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.status.State != tunnel.StateUp:
	case r.status.RTT == 0:
		r.status.RTT = rtt
	default:
		r.status.RTT += (rtt - r.status.RTT) / 8 // as TCP smooths it (RFC 6298)
	}
}
