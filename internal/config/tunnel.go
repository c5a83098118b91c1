package config

import (
	"time"
)

// The defaults of [tunnel].
const (
	defaultMTU          = 1500
	defaultWireGuardMTU = 1420 // leaves room for the outer headers of both families in 1500
	defaultKeepalive    = time.Second
	defaultDeadAfter    = 3 * time.Second
)

// The limits of Tunnel.Keepalive and Tunnel.DeadAfter.
const (
	minKeepalive = 20 * time.Millisecond
	maxKeepalive = time.Minute
	minDeadAfter = 50 * time.Millisecond
	maxDeadAfter = 10 * time.Minute
)

// The limits of Tunnel.Weight and Tunnel.Preference. A weight is that of a next hop in the
// kernel, which has 8 bits for one less (struct rtnexthop).
const (
	maxWeight     = 256
	maxPreference = 255
)

// tunnel makes a Tunnel of what one table of a peer's file says.
func (l *loader) tunnel(s slot, raw *rawTunnel) Tunnel {
	var t Tunnel
	switch l.transport(raw.Transport) {
	case TransportExternal:
		t = l.external(raw)
	case TransportWireGuard:
		t = l.wireguardTunnel(s, raw)
	case TransportAuto:
		t = l.autoTunnel(s, raw)
	default:
		t = l.tlsTunnel(s, raw)
	}
	t.Link = s.link
	t.Weight = int(l.number(raw.Weight, 1, 1, maxWeight))
	t.Preference = int(l.number(raw.Preference, 0, 0, maxPreference))
	return t
}

func (l *loader) tlsTunnel(s slot, raw *rawTunnel) Tunnel {
	const other = "WireGuard has such keys; over TLS a peer is known by fingerprint, secret_file or ca_file"
	l.refuse(TransportTLS, &raw.PublicKey, other)
	l.refuse(TransportTLS, &raw.PublicKeys, other)
	l.refuse(TransportTLS, &raw.PresharedKeyFile, other)
	l.refuse(TransportTLS, &raw.PrivateKeyFiles, other)
	l.refuse(TransportTLS, &raw.PersistentKeepalive, "keepalive keeps the way open")
	l.refuse(TransportTLS, &raw.Probe, "it knows by itself when its peer is silent")
	l.refuse(TransportTLS, &raw.UDPPort, noUDPPort)
	l.refuseDatapath(TransportTLS, raw)
	l.refuse(TransportTLS, &raw.ECN, `no mark of congestion passes a TCP connection, which has ECN of its own (net.ipv4.tcp_ecn); it is for "wireguard" and "auto"`)
	l.refuse(TransportTLS, &raw.DSCP, `it is for the packets of "wireguard" and "auto"`)
	t := l.ownTunnel(s, raw, defaultMTU, MaxMTU)
	t.Transport, t.Trust = TransportTLS, l.tlsTrust(raw)
	t.Keepalive, t.DeadAfter = l.liveness(raw)
	t.Congestion = l.congestion(raw.Congestion, "")
	return t
}

// noUDPPort is why one transport alone has no port beside that of its remotes.
const noUDPPort = `it is for "auto", where the remotes' own port is that of TCP`

// refuse reports a key that means nothing with a transport.
func (l *loader) refuse(transport string, key interface{ isGiven() (place, bool) }, why string) {
	if at, given := key.isGiven(); given {
		l.fail(at, "means nothing with transport = %q: %s", transport, why)
	}
}

// ownTunnel reads what the transports have in common that make the interface
// themselves.
func (l *loader) ownTunnel(s slot, raw *rawTunnel, defaultMTU, maxMTU int64) Tunnel {
	usual := "443"
	if raw.Transport.v == TransportWireGuard {
		usual = "51820"
	}
	t := Tunnel{
		Remotes:   l.remotes(raw.Remotes, usual, raw.Underlay.state == given),
		Interface: l.tunnelInterface(s, raw.Interface),
		MTU:       int(l.number(raw.MTU, defaultMTU, MinMTU, maxMTU)),
	}
	t.RemoteOrder, t.ReturnToFirst = l.remoteOrder(raw.RemoteOrder), raw.ReturnToFirst.v
	t.ConnectTimeout = l.duration(raw.ConnectTimeout, defaultConnectTimeout, minConnectTimeout, maxConnectTimeout)
	t.Address, t.PeerAddress = l.addresses(raw)
	t.Assigned, t.Assign = raw.assigned(), l.assign(raw.Assign)
	if raw.Underlay.state == given {
		t.Underlay = raw.Underlay.v
		if err := checkInterface(t.Underlay); err != nil {
			l.fail(raw.Underlay.place, "%q %v", t.Underlay, err)
		} else if t.Underlay == t.Interface {
			l.fail(raw.Underlay.place, "%q is the tunnel itself; name the interface that its packets leave by", t.Underlay)
		}
	}
	return t
}

// transport returns the default for one that is wrong, so that the other keys
// are checked as most peers' are.
func (l *loader) transport(v value[string]) string {
	switch {
	case v.state != given || v.v == TransportTLS:
	case v.v == TransportWireGuard || v.v == TransportAuto || v.v == TransportExternal:
		return v.v
	default:
		l.fail(v.place, "%q is not a transport; allowed are %q, %q, %q and %q", v.v, TransportTLS, TransportWireGuard, TransportAuto, TransportExternal)
	}
	return TransportTLS
}

// tunnelInterface reads the name of the interface, or makes it of the peer's name.
func (l *loader) tunnelInterface(s slot, v value[string]) string {
	switch v.state {
	case absent:
		name, what := s.peer+s.suffix(), "the peer's name"
		if s.n > 0 {
			what += " with " + s.suffix() + " behind it"
		}
		if err := checkInterface(name); err != nil && checkName(s.peer) == nil {
			l.fail(v.place, "is absent, and %s %q %v: set interface", what, name, err)
		}
		return name
	case given:
		if err := checkInterface(v.v); err != nil {
			l.fail(v.place, "%q %v", v.v, err)
		}
	}
	return v.v
}

// liveness reads the two times that depend on one another.
func (l *loader) liveness(raw *rawTunnel) (keepalive, deadAfter time.Duration) {
	keepalive = l.duration(raw.Keepalive, defaultKeepalive, minKeepalive, maxKeepalive)
	deadAfter = l.duration(raw.DeadAfter, defaultDeadAfter, minDeadAfter, maxDeadAfter)
	if keepalive == 0 || deadAfter == 0 || deadAfter >= 2*keepalive {
		return keepalive, deadAfter
	}
	// A template's dead_after is right for those that take its keepalive too.
	own := raw.Keepalive.state == given && raw.Keepalive.template == "" && raw.DeadAfter.template != ""
	if raw.DeadAfter.state == given && !own {
		l.fail(raw.DeadAfter.place, "%v is less than twice keepalive, which is %v; allowed are %v to 10m", deadAfter, keepalive, 2*keepalive)
	} else {
		l.fail(raw.Keepalive.place, "%v is more than half of dead_after, which is %v; set dead_after to at least %v",
			keepalive, deadAfter, 2*keepalive)
	}
	return keepalive, deadAfter
}

// duration reads a duration that has a default. It returns 0 if it is wrong.
func (l *loader) duration(v value[string], otherwise, least, most time.Duration) time.Duration {
	switch v.state {
	case absent:
		return otherwise
	case faulty:
		return 0
	}
	d, err := parseDuration(v.v, least, most)
	if err != nil {
		l.fail(v.place, "%q %v", v.v, err)
		return 0
	}
	return d
}
