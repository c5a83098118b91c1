package config

import "net/netip"

// external makes a Tunnel of an interface that something else keeps.
func (l *loader) external(raw *rawTunnel) Tunnel {
	l.refuseOfExternal(raw)
	t := Tunnel{Transport: TransportExternal, Interface: raw.Interface.v, Probe: l.probe(raw.Probe)}
	switch raw.Interface.state {
	case absent:
		l.fail(raw.Interface.place, "is required with transport = %q: the name of the interface that something else makes, such as tun0", TransportExternal)
	case given:
		if err := checkInterface(t.Interface); err != nil {
			l.fail(raw.Interface.place, "%q %v", t.Interface, err)
		}
	}
	t.Address, t.PeerAddress = l.externalAddresses(raw)
	if t.Probe == ProbeNone {
		if at, given := raw.DeadAfter.isGiven(); given {
			l.fail(at, "means nothing with probe = %q: nobody listens for signs of life, and BGP's hold time finds a dead peer", ProbeNone)
		}
		t.Keepalive = l.duration(raw.Keepalive, defaultKeepalive, minKeepalive, maxKeepalive)
		return t
	}
	t.Keepalive, t.DeadAfter = l.liveness(raw)
	return t
}

// refuseOfExternal reports the keys that are for a transport of our own.
func (l *loader) refuseOfExternal(raw *rawTunnel) {
	const trust = "who is at the far end is for whatever keeps the interface to make sure"
	const knows = "whatever keeps the interface knows where its far end is, and keeps the way there open"
	l.refuse(TransportExternal, &raw.Remotes, knows)
	l.refuse(TransportExternal, &raw.RemoteOrder, knows)
	l.refuse(TransportExternal, &raw.ReturnToFirst, knows)
	l.refuse(TransportExternal, &raw.ConnectTimeout, knows)
	l.refuse(TransportExternal, &raw.UDPPort, knows)
	l.refuseDatapath(TransportExternal, raw)
	l.refuse(TransportExternal, &raw.PersistentKeepalive, knows)
	l.refuse(TransportExternal, &raw.Congestion, "whatever keeps the interface sends its packets")
	l.refuse(TransportExternal, &raw.ECN, "whatever keeps the interface sends its packets")
	l.refuse(TransportExternal, &raw.DSCP, "whatever keeps the interface sends its packets")
	l.refuse(TransportExternal, &raw.Fingerprint, trust)
	l.refuse(TransportExternal, &raw.Fingerprints, trust)
	l.refuse(TransportExternal, &raw.SecretFile, trust)
	l.refuse(TransportExternal, &raw.SecretFiles, trust)
	l.refuse(TransportExternal, &raw.InvitationFile, trust)
	l.refuse(TransportExternal, &raw.CAFile, trust)
	l.refuse(TransportExternal, &raw.PeerName, trust)
	l.refuse(TransportExternal, &raw.PublicKey, trust)
	l.refuse(TransportExternal, &raw.PublicKeys, trust)
	l.refuse(TransportExternal, &raw.PresharedKeyFile, trust)
	l.refuse(TransportExternal, &raw.PrivateKeyFiles, trust)
	if raw.assigned() {
		l.refuse(TransportExternal, &raw.Address, "it is a Warren at the far end that assigns addresses, over a tunnel of its own")
	}
	l.refuse(TransportExternal, &raw.Assign, "it takes a Warren at the far end, over a tunnel of its own")
	l.refuse(TransportExternal, &raw.Link, "the interface's name already says which tunnel is meant")
	l.refuse(TransportExternal, &raw.MTU, "the interface keeps the MTU that its maker gave it")
	l.refuse(TransportExternal, &raw.Underlay, "whatever keeps the interface sends its packets")
}

func (l *loader) probe(v value[string]) string {
	switch {
	case v.state != given || v.v == ProbeICMP:
	case v.v == ProbeNone:
		return ProbeNone
	default:
		l.fail(v.place, "%q is not a probe; allowed are %q and %q", v.v, ProbeICMP, ProbeNone)
	}
	return ProbeICMP
}

// externalAddresses reads the addresses of the two ends. The interface may
// have its own already; where the peer is has to be said.
func (l *loader) externalAddresses(raw *rawTunnel) ([]netip.Prefix, netip.Addr) {
	own, ok := l.ownAddresses(raw)
	switch raw.PeerAddress.state {
	case faulty:
		return nil, netip.Addr{}
	case absent:
		l.fail(raw.PeerAddress.place, "is required with transport = %q: the peer's address inside the tunnel, which BGP talks to", TransportExternal)
		return nil, netip.Addr{}
	}
	peer, err := parsePeerAddress(raw.PeerAddress.v)
	switch {
	case err != nil:
	case len(own) > 0:
		err = checkInSubnet(peer, own)
	default:
		err = checkHost(netip.PrefixFrom(peer, peer.BitLen()), peer)
	}
	if err != nil && ok {
		l.fail(raw.PeerAddress.place, "%q %v", raw.PeerAddress.v, err)
	}
	if err != nil || !ok {
		return nil, netip.Addr{}
	}
	return own, peer
}
