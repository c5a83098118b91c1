package agent

import (
	"slices"

	"warren/internal/config"
	"warren/internal/status"
	"warren/tunnel"
	"warren/tunnel/tlslink"
	"warren/tunnel/wireguard/protocol"
)

// inUse is the key of a tunnel's session, as tunnel.Status has it.
type inUse struct {
	key   string
	place int
}

func keyOf(s tunnel.Status) (inUse, bool) {
	return inUse{s.Key, s.KeyPlace}, s.State == tunnel.StateUp && s.Key != ""
}

// keysChange says what other keys mean to a tunnel that takes them over.
func (m *machine) keysChange(a *attachment, next config.Tunnel) (effect, text string) {
	used, known := m.used[a.id]
	stays, sure := false, false
	if known && a.up() {
		stays, sure = keeps(a.cfg.Trust, next.Trust, used)
	}
	switch {
	case !sure:
		return status.ChangeKept, ": keys changed, a session stays whose key is still there"
	case stays:
		return status.ChangeKept, ": keys changed, the session stays, whose key is still there"
	}
	return status.ChangeTunnel, ": keys changed, the session ends and begins again, as its key is not there any more"
}

// keeps reports whether a session stays that was made with a key of before if those of next take
// their place. sure is false where that depends on what the peer has shown.
func keeps(before, next config.Trust, used inUse) (stays, sure bool) {
	switch {
	case before.Method != next.Method:
		return false, before.Method == config.TrustSecret || next.Method == config.TrustSecret
	case before.Method == config.TrustSecret:
		secret := config.SharedSecret{File: used.key}
		if i := used.place - 1; i >= 0 && i < len(before.Secrets) {
			secret = before.Secrets[i]
		}
		return next.Holds(secret), true
	case before.Method == config.TrustFingerprint:
		return slices.ContainsFunc(next.Fingerprints, func(f [32]byte) bool { return tlslink.Fingerprint(f) == used.key }), true
	case before.Method == config.TrustPublicKey:
		return slices.ContainsFunc(next.PublicKeys, func(k [config.KeySize]byte) bool { return protocol.PublicKey(k).String() == used.key }) &&
			!slices.Contains(before.KnownBy(next), "tunnel.preshared_key_file"), true
	}
	return false, false
}
