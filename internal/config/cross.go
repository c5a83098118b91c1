package config

import (
	"bytes"
	"crypto/sha256"
	"slices"
	"strings"
)

// checkAgainstRouter checks what depends on warren.toml and a peer's file
// together.
func (l *loader) checkAgainstRouter(raw *rawRouter, cfg *Config, drafts []draft) {
	var own [32]byte
	if c := cfg.TLS.Certificate; c != nil {
		own = sha256.Sum256(c.Certificate[0])
	}
	dialsOnly := raw.TLS.Listen.state != faulty && len(raw.TLS.Listen.v) == 0
	for i := range drafts {
		l.setFirst(cfg.ASN, &drafts[i])
		l.setCluster(cfg, &drafts[i])
	}
	for _, d := range drafts {
		l.checkWireGuard(raw, cfg, d)
		tunnel := d.raw.Tunnel
		if dialsOnly && d.peer.Tunnel.Transport == TransportTLS && tunnel.Remotes.state != faulty && len(tunnel.Remotes.v) == 0 {
			l.fail(tunnel.Remotes.place, "is absent, and so is tls.listen in %s: nobody could connect; set one of them", raw.TLS.Listen.file)
		}
		trust := d.peer.Tunnel.Trust
		if trust.Method == TrustFingerprint && cfg.TLS.Certificate != nil && slices.Contains(trust.Fingerprints, own) {
			l.fail(tunnel.fingerprintPlace(), "is the fingerprint of this router's own certificate, %s; it must be the peer's", cfg.TLS.CertFile)
		}
	}
}

// checkAmongPeers checks that no two peers use the same thing. The drafts are
// sorted, and the later of two is reported.
func (l *loader) checkAmongPeers(drafts []draft) {
	byInterface := map[string]draft{}
	for _, d := range drafts {
		name := d.peer.Tunnel.Interface
		if first, taken := byInterface[name]; taken && name != "" {
			l.fail(d.raw.Tunnel.Interface.place, "%q is the interface of %s already; each peer needs its own", name, first.peer.File)
			continue
		}
		byInterface[name] = d
	}
	for i, d := range drafts {
		if under := d.peer.Tunnel.Underlay; under != "" && under != d.peer.Tunnel.Interface {
			if other, taken := byInterface[under]; taken {
				l.fail(d.raw.Tunnel.Underlay.place, "%q is the tunnel of %s; name the interface that the tunnel's packets leave by", under, other.peer.File)
			}
		}
		for _, first := range drafts[:i] {
			l.checkPair(first, d)
		}
	}
}

// checkPair checks two peers against one another.
func (l *loader) checkPair(first, second draft) {
	a, b := first.peer.Tunnel, second.peer.Tunnel
	if a.Trust.Method == TrustPublicKey && a.Trust.Method == b.Trust.Method && samePeer(a.Trust, b.Trust) {
		l.fail(second.raw.Tunnel.publicKeyPlace(), "is the public_key of %s already; WireGuard knows a peer by its key: for several tunnels to the same peer use secret_file",
			first.peer.File)
	} else if a.Trust.Method != 0 && a.Transport == b.Transport && samePeer(a.Trust, b.Trust) && a.Link == b.Link {
		l.fail(second.raw.Tunnel.Link.place, "%d belongs to the tunnel of %s, which trusts the same peer; give each tunnel to one peer another link, the same at both ends",
			b.Link, first.peer.File)
	}
	// BGP knows a neighbor by its address without zone, so that link-local
	// addresses too must differ.
	if a.PeerAddress.IsValid() && a.PeerAddress == b.PeerAddress {
		l.fail(second.raw.Tunnel.PeerAddress.place, "%v is the peer_address of %s already; the neighbors' routes would replace one another: take another, in a subnet of its own",
			b.PeerAddress, first.peer.File)
	}
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
