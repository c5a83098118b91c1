package config

import (
	"bytes"
	"crypto/ecdh"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"time"
)

// maxPersistentKeepalive is what wg(8) takes, whole seconds in 16 bits.
const maxPersistentKeepalive = 65535 * time.Second

// wireguard reads the router's side of the wireguard transport, without the key.
func (l *loader) wireguard(raw *rawWireGuard) WireGuard {
	w := WireGuard{ListenPort: uint16(l.number(raw.ListenPort, 0, 1, 65535)), PrivateKeyFile: l.resolve("wireguard.key")}
	if raw.PrivateKeyFile.state == given {
		w.PrivateKeyFile = l.resolve(raw.PrivateKeyFile.v)
	}
	return w
}

// privateKey loads the router's own key. There may be none if no peer needs it,
// no key of the config names it, and the default file is not there.
func (l *loader) privateKey(raw *rawWireGuard, w WireGuard, drafts []draft) Secret {
	if raw.PrivateKeyFile.state == faulty {
		return nil
	}
	wanted := raw.PrivateKeyFile.state == given || exists(w.PrivateKeyFile)
	for _, t := range tunnelsOf(drafts) {
		public := t.raw.PublicKey.state == given || t.raw.PublicKeys.state == given
		wanted = wanted || public && t.raw.PrivateKeyFiles.state == absent
	}
	if !wanted {
		return nil
	}
	data := l.keyFile(raw.PrivateKeyFile.place, w.PrivateKeyFile, private)
	if data == nil {
		return nil
	}
	key, err := parseKey(data, "as `warren keygen` and `wg genkey` make it")
	if err != nil {
		l.fail(raw.PrivateKeyFile.place, "%s: %v", w.PrivateKeyFile, err)
		return nil
	}
	return key
}

// wireguardTunnel makes a Tunnel of the wireguard transport.
func (l *loader) wireguardTunnel(s slot, raw *rawTunnel) Tunnel {
	const certificates = "WireGuard knows no certificates; set public_key or secret_file"
	l.refuse(TransportWireGuard, &raw.Fingerprint, certificates)
	l.refuse(TransportWireGuard, &raw.Fingerprints, certificates)
	l.refuse(TransportWireGuard, &raw.CAFile, certificates)
	l.refuse(TransportWireGuard, &raw.PeerName, certificates)
	l.refuse(TransportWireGuard, &raw.Congestion, "it is that of TCP, which WireGuard does not use")
	l.refuse(TransportWireGuard, &raw.UDPPort, noUDPPort)
	t := l.ownTunnel(s, raw, defaultWireGuardMTU, MaxWireGuardMTU)
	t.Transport, t.Trust = TransportWireGuard, l.wireguardTrust(raw)
	t.ECN, t.DSCP = raw.ECN.v, l.dscp(raw.DSCP)
	if l.datapath(raw, &t) == DatapathKernel {
		l.refuseOfKernel(raw, &t)
	}
	t.Probe = l.probe(raw.Probe)
	if t.Probe == ProbeNone {
		const why = "means nothing with probe = %q: BGP's hold time finds a dead peer; persistent_keepalive keeps the way through a NAT open"
		if at, given := raw.Keepalive.isGiven(); given {
			l.fail(at, why, ProbeNone)
		}
		if at, given := raw.DeadAfter.isGiven(); given {
			l.fail(at, why, ProbeNone)
		}
	} else {
		t.Keepalive, t.DeadAfter = l.liveness(raw)
	}
	t.PersistentKeepalive = l.duration(raw.PersistentKeepalive, 0, time.Second, maxPersistentKeepalive)
	if t.Keepalive > 0 && t.PersistentKeepalive >= t.Keepalive {
		if _, own := raw.PersistentKeepalive.isGiven(); !own {
			t.PersistentKeepalive = 0
			return t
		}
		l.fail(raw.PersistentKeepalive.place, "%v means nothing: something is sent each keepalive, %v, already; it is for probe = %q",
			t.PersistentKeepalive, t.Keepalive, ProbeNone)
	}
	return t
}

// wireguardTrust reads how the peer proves over WireGuard who it is.
func (l *loader) wireguardTrust(raw *rawTunnel) Trust {
	public, secrets := l.oneOrMore(raw.PublicKey, raw.PublicKeys), l.oneOrMore(raw.SecretFile, raw.SecretFiles)
	key := l.oneWay([]way{{public.place, public.state}, {secrets.place, secrets.state}}, "public_key (with or without preshared_key_file), secret_file")
	l.refuseInvitation(raw, key)
	switch {
	case strings.HasPrefix(key, "public_key"):
		return l.trustPublicKeys(public, raw)
	case key == "":
		return Trust{}
	}
	const only = "goes with public_key only; %s out of secret_file too"
	at, preshared := raw.PresharedKeyFile.isGiven()
	if preshared {
		l.fail(at, only, "the preshared key comes")
	}
	at, private := raw.PrivateKeyFiles.isGiven()
	if private {
		l.fail(at, only, "the private keys come")
	}
	if preshared || private {
		return Trust{}
	}
	return l.trustSecretsOf(raw, secrets)
}

func (l *loader) trustPublicKeys(v value[list], raw *rawTunnel) Trust {
	t := Trust{Method: TrustPublicKey}
	ok := true
	for _, e := range v.v {
		key, err := parsePublicKey(e.text)
		if err == nil && slices.Contains(t.PublicKeys, key) {
			err = errTwice
		}
		if err != nil {
			l.failElement(v.place, e, err)
			ok = false
			continue
		}
		t.PublicKeys = append(t.PublicKeys, key)
	}
	if t.PrivateKey = l.privateKeyOf(raw.PrivateKeyFiles); t.PrivateKey == nil && raw.PrivateKeyFiles.state != absent {
		ok = false
	}
	if !ok {
		return Trust{}
	}
	if raw.PresharedKeyFile.state != given {
		return t
	}
	file := l.resolve(raw.PresharedKeyFile.v)
	data, err := l.read(file, private)
	if err == nil {
		t.PresharedKey, err = parseKey(data, "as `wg genpsk` and `warren keygen --secret FILE` make it")
	}
	if errors.Is(err, fs.ErrNotExist) {
		err = fmt.Errorf("%w; `warren keygen --secret FILE` or `wg genpsk` makes it at one end, copy it to the other", err)
	}
	if err != nil {
		l.fail(raw.PresharedKeyFile.place, "%s: %v", file, err)
		return Trust{}
	}
	return t
}

// privateKeyOf reads this end's key of a tunnel that has one of its own. nil if it has none,
// or it is wrong.
func (l *loader) privateKeyOf(v value[list]) Secret {
	if v.state != given {
		return nil
	}
	if len(v.v) != 1 {
		l.fail(v.place, "has %d files for one tunnel; name one, and one for each if several tunnels take theirs from the first", len(v.v))
		return nil
	}
	file := l.resolve(v.v[0].text)
	data, err := l.read(file, private)
	if err == nil {
		data, err = parseKey(data, "as `wg genkey` makes it")
	}
	if errors.Is(err, fs.ErrNotExist) {
		err = fmt.Errorf("%w; `wg genkey` makes it", err)
	}
	if err != nil {
		at := v.place
		at.line = v.v[0].line
		l.fail(at, "%s: %v", file, err)
		return nil
	}
	return data
}

func parsePublicKey(text string) ([KeySize]byte, error) {
	const source = "as `wg pubkey` and `warren keygen` print it"
	key, err := parseKey([]byte(text), source)
	if err == nil && bytes.Count(key, []byte{0}) == KeySize {
		err = fmt.Errorf("it is all zeros, which is nobody's key; set the peer's, %s", source)
	}
	if err != nil {
		return [KeySize]byte{}, fmt.Errorf("is not a public key: %w", err)
	}
	return [KeySize]byte(key), nil
}

// setFirst says which of a secret's two key pairs is this end's. Both ends must
// come to opposite answers by what both know: their ASNs, or if those are equal
// their addresses in the tunnel.
func (l *loader) setFirst(own uint32, t peerTunnel) {
	if !t.OverWireGuard() || t.Trust.Method != TrustSecret {
		return
	}
	if peer := t.peer.BGP.ASN; own != peer || own == 0 {
		t.Trust.First = own < peer
		return
	}
	for _, a := range t.Address {
		if a.Contains(t.PeerAddress) {
			t.Trust.First = a.Addr().Less(t.PeerAddress)
			return
		}
	}
	if t.raw.Address.state == absent || t.Assigned {
		l.fail(t.own(t.raw.secretPlace()), "both ends are AS %d, so that nothing tells which of the secret's two keys is whose: "+
			`set address and peer_address, such as address = ["fe80::1/64"] and peer_address = "fe80::2", the other way round at the peer; or use public_key`, own)
	}
}

// checkWireGuard checks a tunnel against the router's side of the transport.
func (l *loader) checkWireGuard(raw *rawRouter, cfg *Config, t peerTunnel) {
	if !t.OverWireGuard() {
		return
	}
	if t.Datapath == DatapathKernel {
		l.checkKernel(cfg, t)
	} else if remotes := t.raw.Remotes; raw.WireGuard.ListenPort.state == absent && remotes.state != faulty && len(remotes.v) == 0 {
		l.fail(remotes.place, "is absent, and so is wireguard.listen_port in %s: the peer could not know where to send%s; set one of them", raw.TLS.Listen.file, t.over(TransportWireGuard))
	}
	if key := cfg.WireGuard.PrivateKey; key != nil && slices.Contains(t.Trust.PublicKeys, publicKey(key)) {
		l.fail(t.raw.publicKeyPlace(), "belongs to this router's own key, %s; it must be the peer's", cfg.WireGuard.PrivateKeyFile)
	} else if key := t.Trust.PrivateKey; key != nil && slices.Contains(t.Trust.PublicKeys, publicKey(key)) {
		l.fail(t.raw.publicKeyPlace(), "belongs to this end's own key, %s; it must be the peer's", l.resolve(t.raw.PrivateKeyFiles.v[0].text))
	}
}

// publicKey returns the public key of a private one (RFC 7748).
func publicKey(private []byte) [KeySize]byte {
	key, err := ecdh.X25519().NewPrivateKey(private)
	if err != nil {
		panic(err) // its length was checked when it was read
	}
	return [KeySize]byte(key.PublicKey().Bytes())
}
