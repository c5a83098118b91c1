package agent

import (
	"context"
	"encoding/base64"
	"errors"
	"slices"
	"time"

	"warren/bgp"
	"warren/internal/config"
	"warren/internal/speaker"
	"warren/internal/status"
	"warren/internal/underlay"
	"warren/tunnel"
)

// snapshot is the daemon's state at one moment, taken by the loop.
func (l *loop) snapshot(ctx context.Context) (s status.Status, err error) {
	err = l.ask(ctx, func(context.Context) { s = l.status() })
	return s, err
}

func (l *loop) status() status.Status {
	neighbors := map[string]bgp.NeighborStatus{}
	for _, n := range l.speaker.Neighbors() {
		neighbors[n.Name] = n
	}
	now, swallowed := time.Now(), l.guard.Swallowed()
	written, _ := l.routes.Status() // what fails is counted
	s := status.Status{
		Time: status.At(now),
		Router: status.Router{
			Name: l.cfg.Name, ASN: l.cfg.ASN, RouterID: l.cfg.RouterID.String(),
			Version: l.version, UptimeS: int64(time.Since(l.started).Seconds()),
			Speaker: speakerStatus(l.speaker.Status()),
			Source:  status.Source{IPv4: addrText(l.source.v4), IPv6: addrText(l.source.v6)},
			Drained: l.drainStatus(""),
			Hints:   slices.Concat(l.hints(now), l.blockedHints(neighbors, now), l.loopHints(neighbors), l.rivalHints(neighbors), l.swallowedHints(swallowed, now)),
		},
		Peers: make([]status.Peer, 0, len(l.m.order)),
		FIB:   status.FIB{IPv4: written.Installed4, IPv6: written.Installed6, Pending: written.Pending, Errors: written.Errors, PendingIPv6: written.Pending6, ErrorsIPv6: written.Errors6},
	}
	conditions := l.m.conditions.shown()
	s.Router.Conditions = l.conditionsOf("", conditions)
	for _, p := range l.m.order {
		s.Peers = append(s.Peers, l.peerStatus(p, neighbors, swallowed))
		s.Peers[len(s.Peers)-1].Conditions = l.conditionsOf(p.name, conditions)
	}
	return s
}

// at is when something was, by the clock as it is set now, so that it is as long before the status as it has lasted, whatever
// date it was when it began.
func (l *loop) at(t time.Time) status.Time { return status.At(l.date(t)) }

// peerStatus is a peer with all its tunnels. tunnel and bgp are those of the first. A peer on a
// network has no tunnels; tunnel then says where it is.
func (l *loop) peerStatus(p *peer, neighbors map[string]bgp.NeighborStatus, swallowed []underlay.Swallowed) status.Peer {
	out := status.Peer{Name: p.name, Drained: l.drainStatus(p.name), Down: l.downStatus(p.name)}
	if a := p.attachments[0]; a.isLAN() {
		out.Tunnel, out.BGP = l.networkStatus(a), l.bgpStatus(a, neighbors)
		return out
	}
	shares := l.state.sharesOf(p)
	for i, a := range p.attachments {
		t, b := l.tunnelStatus(a), l.bgpStatus(a, neighbors)
		for _, lost := range swallowed {
			if lost.Interface == t.Interface {
				t.Drops += lost.Packets
			}
		}
		out.Tunnels = append(out.Tunnels, status.PeerTunnel{
			Tunnel: t, Link: a.cfg.Link, Share: shares[i], Carrying: shares[i] > 0 && b.State == stateEstablished, BGP: b,
		})
		l.setWays(&out.Tunnels[i], a)
	}
	out.Tunnel, out.BGP = out.Tunnels[0].Tunnel, out.Tunnels[0].BGP
	return out
}

// conditionsOf returns those of a peer, or those of the router if the name is empty.
func (l *loop) conditionsOf(peer string, all []shown) (out []status.Condition) {
	for _, c := range all {
		if c.peer == peer {
			out = append(out, status.Condition{Kind: string(c.kind), Interface: c.ifname, Since: l.at(c.since), Tries: c.tries, Text: c.text})
		}
	}
	return out
}

func speakerStatus(s speaker.Status) status.Speaker {
	return status.Speaker{PID: s.PID, Restarts: s.Restarts, LastError: s.LastError}
}

// transportLAN is what status says in the place of a transport where there is no tunnel.
const transportLAN = "lan"

// networkStatus is the network that a peer is on.
func (l *loop) networkStatus(a *attachment) status.Tunnel {
	out := status.Tunnel{Transport: transportLAN, Interface: a.ifname(), State: string(tunnel.StateUp)}
	if err := l.m.networkError(a); err != nil {
		out.State, out.LastError = string(tunnel.StateDown), err.Error()
	}
	return out
}

func (l *loop) tunnelStatus(a *attachment) status.Tunnel {
	out := status.Tunnel{
		Transport: a.cfg.Transport, Interface: a.cfg.Interface,
		State: string(tunnel.StateDown), MTU: a.cfg.MTU,
		Flaps: a.resets.count, LastReset: l.resetStatus(a.resets),
	}
	if out.ECN = a.cfg.ECN; a.cfg.DSCP != 0 {
		out.DSCP = dscpName(a.cfg.DSCP)
	}
	h, ok := l.handles.tunnels[a.id]
	if down := l.m.orders.Down[a.peer.name]; !ok && down != nil {
		out.LastError = "taken down by " + byText(down.By)
		return out
	}
	if !ok {
		for _, k := range []kind{kindOpen, kindGone} {
			if err := l.m.conditions.error(about(k, a)); err != nil {
				out.LastError = err.Error()
				break
			}
		}
		return out
	}
	t := h.Status()
	out.State, out.Since, out.LastError = string(t.State), l.at(t.Since), t.LastError
	if t.Remote.IsValid() {
		out.Remote = t.Remote.String()
	}
	if t.MTU != 0 { // an external interface's is its owner's choice
		out.MTU = t.MTU
	}
	out.Datapath = t.Datapath
	out.Key, out.KeyPlace, out.Congestion = t.Key, t.KeyPlace, t.Congestion
	if t.Transport == config.TransportWireGuard {
		l.setKeys(&out, t)
	}
	out.RTT = status.Millis(t.RTT)
	out.RxBytes, out.TxBytes = t.Stats.RxBytes, t.Stats.TxBytes
	out.RxPackets, out.TxPackets, out.Drops = t.Stats.RxPackets, t.Stats.TxPackets, t.Stats.Drops
	out.RxMarked = t.Stats.RxMarked
	return out
}

// setKeys sets what is known of the keys of a WireGuard tunnel.
func (l *loop) setKeys(out *status.Tunnel, t tunnel.Status) {
	out.PublicKey = base64.StdEncoding.EncodeToString(t.Peer[:])
	if !t.Handshake.IsZero() {
		at := l.at(t.Handshake)
		out.LastHandshake = &at
	}
}

// setWays sets what is known of the transports of a tunnel that has two.
func (l *loop) setWays(out *status.PeerTunnel, a *attachment) {
	h, ok := l.handles.tunnels[a.id]
	if !ok {
		return
	}
	for _, w := range h.Status().Ways {
		way := status.Carrier{
			Transport: w.Transport, State: string(w.State), Since: l.at(w.Since), RTT: status.Millis(w.RTT),
			RxBytes: w.Stats.RxBytes, TxBytes: w.Stats.TxBytes, LastError: w.LastError,
		}
		if w.Remote.IsValid() {
			way.Remote = w.Remote.String()
		}
		if w.Loss >= 0 {
			way.Loss = &w.Loss
		}
		if w.Transport == config.TransportWireGuard {
			l.setKeys(&out.Tunnel, w.Status)
		}
		if w.Carries {
			since := l.at(w.At)
			out.CarriedBy, out.CarriedSince, out.CarriedWhy = w.Transport, &since, w.Why
		}
		out.Ways = append(out.Ways, way)
	}
}

// bgpStatus is the neighbor's side. Without a tunnel there is no neighbor, and
// nothing to say but where it would be.
func (l *loop) bgpStatus(a *attachment, neighbors map[string]bgp.NeighborStatus) status.BGP {
	out := status.BGP{ASN: a.peer.bgp.ASN, State: "idle", Flaps: a.sessions.count, LastReset: l.resetStatus(a.sessions)}
	if addr := a.cfg.PeerAddress; addr.IsValid() {
		out.Address = withZone(addr, a.cfg.Interface).String()
	}
	if a.isLAN() {
		out.Address = withZone(a.lan.Address, a.ifname()).String()
	}
	n, ok := neighbors[a.name]
	if !a.up() || !ok {
		if err := l.m.conditions.error(about(kindAddresses, a)); err != nil {
			out.LastError = err.Error()
		}
		return out
	}
	out.Address = a.session.peer.String()
	out.State, out.Since, out.LastError = n.State, l.at(n.Since), n.LastError
	out.Received, out.Accepted, out.Refused, out.Announced = n.Received, n.Accepted, n.Refused, n.Announced
	out.Families = status.Families{IPv4: prefixesOf(n.Families[0]), IPv6: prefixesOf(n.Families[1])}
	out.Stale = n.Stale
	out.Repaired, out.WithdrawnMalformed, out.Discarded = n.Malformed.Repaired, n.Malformed.Withdrawn, n.Malformed.Discarded
	out.LastMalformed = n.Malformed.Last
	out.Looped, out.LoopedTotal, out.LastLooped, out.Withheld = n.Looped.Prefixes, n.Looped.Total, n.Looped.Last, n.Withheld
	if n.Refused > 0 && out.LastError == "" {
		out.LastError = refusedByLimit(n.Refused, a.peer.bgp.MaxPrefixes)
	}
	return out
}

func prefixesOf(c bgp.Counts) status.Prefixes {
	return status.Prefixes{Received: c.Received, Accepted: c.Accepted, Announced: c.Announced, Refused: c.Refused}
}

func (l *loop) resetStatus(r resets) status.Reset {
	return status.Reset{Time: l.at(r.last), Cause: r.cause}
}

// reloadResult is what `warren reload` prints: what changed, or a line for
// each mistake.
func reloadResult(changes []string, err error) status.ReloadResult {
	var mistakes config.Errors
	switch {
	case err == nil:
		return status.ReloadResult{Changes: changes}
	case errors.As(err, &mistakes):
		var r status.ReloadResult
		for _, m := range mistakes {
			r.Errors = append(r.Errors, m.Error())
		}
		return r
	default:
		return status.ReloadResult{Errors: []string{err.Error()}}
	}
}
