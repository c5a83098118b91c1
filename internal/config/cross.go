package config

import (
	"bytes"
	"crypto/sha256"
	"slices"
	"strings"
)

// tunnelsOf lists the tunnels of all peers.
func tunnelsOf(drafts []draft) (all []peerTunnel) {
	for _, d := range drafts {
		all = append(all, d.peer.tunnels()...)
	}
	return all
}

// checkAgainstRouter checks what depends on warren.toml and a peer's file
// together.
func (l *loader) checkAgainstRouter(raw *rawRouter, cfg *Config, tunnels []peerTunnel) {
	var own [32]byte
	if c := cfg.TLS.Certificate; c != nil {
		own = sha256.Sum256(c.Certificate[0])
	}
	dialsOnly := raw.TLS.Listen.state != faulty && len(raw.TLS.Listen.v) == 0
	l.checkHTTP(raw, cfg)
	defer func() { l.peer = nil }()
	for _, t := range tunnels {
		l.peer = t.peer
		l.setFirst(cfg.ASN, t)
	}
	for _, t := range tunnels {
		l.peer = t.peer
		l.checkWireGuard(raw, cfg, t)
		remotes := t.raw.Remotes
		if dialsOnly && t.OverTLS() && remotes.state != faulty && len(remotes.v) == 0 {
			l.fail(remotes.place, "is absent, and so is tls.listen in %s: nobody could connect%s; set one of them", raw.TLS.Listen.file, t.over(TransportTLS))
		}
		if t.Trust.Method == TrustFingerprint && cfg.TLS.Certificate != nil && slices.Contains(t.Trust.Fingerprints, own) {
			l.fail(t.raw.fingerprintPlace(), "is the fingerprint of this router's own certificate, %s; it must be the peer's", cfg.TLS.CertFile)
		}
	}
}

// settle gives a peer what it has of the router's, and checks what depends on both. It is called for each
// peer, from a file or accepted.
func (l *loader) settle(cfg *Config, d draft) {
	l.peer = d.peer
	defer func() { l.peer = nil }()
	l.setCluster(cfg, d)
	d.peer.setCongestion(cfg.TLS.Congestion)
	d.peer.setKernelKey(cfg.WireGuard)
}

// checkAmongTunnels checks that no two tunnels use the same thing, whichever peers' they are.
// They are sorted by peer, and the later of two is reported.
func (l *loader) checkAmongTunnels(tunnels []peerTunnel) {
	defer func() { l.peer = nil }()
	l.checkAssigned(tunnels)
	byInterface := map[string]peerTunnel{}
	for _, t := range tunnels {
		l.peer = t.peer
		first, taken := byInterface[t.Interface]
		if !taken || t.Interface == "" {
			byInterface[t.Interface] = t
			continue
		}
		text := "%q is the interface of %s already; each tunnel needs its own"
		if t.raw.Interface.state == absent {
			text = "is absent, and " + text + ": set interface"
		}
		l.fail(t.raw.Interface.place, text, t.Interface, first.as(t))
	}
	for i, t := range tunnels {
		l.peer = t.peer
		if under := t.Underlay; under != "" && under != t.Interface {
			if other, taken := byInterface[under]; taken {
				l.fail(t.raw.Underlay.place, "%q is the tunnel of %s; name the interface that the tunnel's packets leave by", under, other.as(t))
			}
		}
		for _, first := range tunnels[:i] {
			l.checkPair(first, t)
		}
	}
}

// checkPair checks two tunnels against one another. That those of one peer have different
// links was checked when they were numbered.
func (l *loader) checkPair(a, b peerTunnel) {
	switch {
	case sameKeys(a.Trust, b.Trust):
		l.fail(b.own(b.raw.publicKeyPlace()), "is the public_key of %s already; WireGuard knows a tunnel by the keys of its two ends: for several tunnels to the same peer use secret_file, "+
			"or public_keys or private_key_files with one for each", a.as(b))
	case a.Trust.Method != 0 && a.Trust.Method != TrustPublicKey && a.peer != b.peer &&
		(a.OverTLS() && b.OverTLS() || a.OverWireGuard() && b.OverWireGuard()) && samePeer(a.Trust, b.Trust) && a.Link == b.Link:
		l.fail(b.own(b.raw.Link.place), "%d belongs to the tunnel of %s, which trusts the same peer; give each tunnel to one peer another link, the same at both ends",
			b.Link, a.as(b))
	}
	l.checkPorts(a, b)
	// BGP knows a neighbor by its address without zone, so that link-local
	// addresses too must differ.
	if a.PeerAddress.IsValid() && a.PeerAddress == b.PeerAddress {
		l.fail(b.raw.PeerAddress.place, "%v is the peer_address of %s already; the neighbors' routes would replace one another: take another, in a subnet of its own",
			b.PeerAddress, a.as(b))
	}
}

// sameKeys reports whether WireGuard could not tell the tunnels apart.
func sameKeys(a, b Trust) bool {
	return common(a.PublicKeys, b.PublicKeys) && bytes.Equal(a.PrivateKey, b.PrivateKey)
}

// samePeer reports whether a peer can be trusted in both ways, because they have a key in
// common.
func samePeer(a, b Trust) bool {
	if a.Method != b.Method {
		return false
	}
	return common(a.Fingerprints, b.Fingerprints) || common(a.PublicKeys, b.PublicKeys) ||
		slices.ContainsFunc(a.Secrets, func(s SharedSecret) bool {
			return slices.ContainsFunc(b.Secrets, func(o SharedSecret) bool { return bytes.Equal(s.Secret, o.Secret) })
		}) ||
		a.Method == TrustCA && strings.EqualFold(a.PeerName, b.PeerName)
}

func common[T comparable](a, b []T) bool {
	return slices.ContainsFunc(a, func(x T) bool { return slices.Contains(b, x) })
}
