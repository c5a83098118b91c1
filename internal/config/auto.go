package config

import "slices"

// autoTunnel makes a Tunnel that is carried over TLS and over WireGuard.
func (l *loader) autoTunnel(s slot, raw *rawTunnel) Tunnel {
	l.refuse(TransportAuto, &raw.PersistentKeepalive, "keepalive keeps both ways open")
	l.refuse(TransportAuto, &raw.Probe, "each transport knows by itself when its peer is silent, so that the other can take over")
	l.refuseDatapath(TransportAuto, raw)
	t := l.ownTunnel(s, raw, defaultWireGuardMTU, MaxWireGuardMTU)
	t.Transport, t.Trust = TransportAuto, l.autoTrust(raw)
	l.checkAutoInvited(raw, t.Trust)
	t.Keepalive, t.DeadAfter = l.liveness(raw)
	t.Congestion = l.congestion(raw.Congestion, "")
	t.ECN, t.DSCP = raw.ECN.v, l.dscp(raw.DSCP)
	t.UDPPort = uint16(l.number(raw.UDPPort, 0, 1, 65535))
	return t
}

// checkAutoInvited reports an invitation that is there. The name of one that was used may stay, so that the daemon still removes what it
// has kept of it.
func (l *loader) checkAutoInvited(raw *rawTunnel, t Trust) {
	at, given := raw.InvitationFile.isGiven()
	switch {
	case !given || t.Method == 0:
	case t.Invitation != nil:
		l.fail(at, "cannot be used with transport = %q: peers are invited over one transport; change it when they have met, and %s is gone", TransportAuto, t.Invitation.File)
	case t.Method != TrustSecret:
		l.fail(at, "goes with secret_file only, to which the secret is written that replaces the invitation's")
	}
}

// autoTrust reads how the peer proves who it is, over both transports: by one secret, or by what each of them
// takes.
func (l *loader) autoTrust(raw *rawTunnel) Trust {
	const both = `; or set secret_file instead, which is for both, or transport = "%s"`
	secrets, fingerprints := l.oneOrMore(raw.SecretFile, raw.SecretFiles), l.oneOrMore(raw.Fingerprint, raw.Fingerprints)
	public := l.oneOrMore(raw.PublicKey, raw.PublicKeys)
	if slices.Contains([]state{secrets.state, fingerprints.state, raw.CAFile.state, public.state}, faulty) {
		return Trust{}
	}
	certified, keyed := fingerprints.state == given || raw.CAFile.state == given, public.state == given
	switch {
	case secrets.state == given && (certified || keyed):
		l.fail(secrets.place, "is for both transports, and excludes what is for one of them: leave out fingerprint, ca_file and public_key, or this")
	case secrets.state == given:
		return l.wireguardTrust(raw)
	case certified && keyed:
		return l.bothTrusts(raw)
	case certified:
		l.fail(raw.Transport.place, "%q needs the peer's public_key too, by which it is known over WireGuard"+both, TransportAuto, TransportTLS)
	case keyed:
		l.fail(raw.Transport.place, "%q needs the peer's fingerprint too, or ca_file with peer_name, by which it is known over TLS"+both, TransportAuto, TransportWireGuard)
	default:
		l.fail(raw.Transport.place, "%q, and nothing says how to know the peer; set secret_file, or fingerprint and public_key", TransportAuto)
	}
	return Trust{}
}

// bothTrusts reads what TLS takes, with what WireGuard takes in the same Trust.
func (l *loader) bothTrusts(raw *rawTunnel) Trust {
	t, w := l.tlsTrust(raw), l.wireguardTrust(raw)
	if t.Method == 0 || w.Method == 0 {
		return Trust{}
	}
	t.PublicKeys, t.PresharedKey, t.PrivateKey = w.PublicKeys, w.PresharedKey, w.PrivateKey
	return t
}

// OverTLS reports whether the tls transport carries the tunnel, alone or with the other.
func (t Tunnel) OverTLS() bool { return t.Transport == TransportTLS || t.Transport == TransportAuto }

// OverWireGuard reports whether the wireguard transport carries the tunnel, alone or with the other.
func (t Tunnel) OverWireGuard() bool {
	return t.Transport == TransportWireGuard || t.Transport == TransportAuto
}

// over says of a tunnel with both transports which of them is meant, and what would do without it; "" of others.
func (t Tunnel) over(transport string) string {
	if t.Transport != TransportAuto {
		return ""
	}
	other := TransportTLS
	if transport == TransportTLS {
		other = TransportWireGuard
	}
	return ` over "` + transport + `", which transport = "auto" needs as well as "` + other + `"`
}
