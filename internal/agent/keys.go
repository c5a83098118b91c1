package agent

import (
	"fmt"
	"time"

	"warren/internal/config"
	"warren/tunnel"
)

// checkCertificate refuses a certificate that is new and not valid: new connections would be
// refused by peers that know this router by ca_file, while the old ones go on.
func checkCertificate(old, next config.TLS, now time.Time) error {
	c := next.Certificate
	if c == nil || c.Leaf == nil || old.SameCertificate(next) {
		return nil
	}
	date := func(t time.Time) string { return t.UTC().Format("2006-01-02 15:04 MST") }
	switch {
	case now.After(c.Leaf.NotAfter):
		return fmt.Errorf("nothing was changed: the new certificate %s expired on %s; put one there that is valid, or check the clock",
			next.CertFile, date(c.Leaf.NotAfter))
	case now.Before(c.Leaf.NotBefore):
		return fmt.Errorf("nothing was changed: the new certificate %s is valid from %s on; reload then, or check the clock",
			next.CertFile, date(c.Leaf.NotBefore))
	}
	return nil
}

// followKeys begins what is over a tunnel again, where the two ends know each other by other
// keys by now, and their derived addresses are others. Not while there is a BGP session, which
// has the addresses that it began with: the far end, which may have been started again, is
// at the new ones, or will be for the same reason.
func (l *loop) followKeys() {
	var moved []otherKeys
	var names []string
	l.m.all(func(a *attachment) {
		h, ok := l.handles.tunnels[a.id]
		// The keys of an interface of the kernel's are those that it was made with.
		if !ok || !a.up() || !a.session.ready || !a.cfg.OverWireGuard() || a.cfg.Datapath == config.DatapathKernel {
			return
		}
		s := h.Status()
		now := h.up(a.id, tunnel.Event{Up: true, Remote: s.Remote, Local: s.Local, Peer: s.Peer})
		if s.State == tunnel.StateUp && (now.ends != a.session.derived() || now.beside != a.session.ipv4) {
			moved, names = append(moved, otherKeys{now, s.Local, s.Peer}), append(names, a.name)
		}
	})
	if moved == nil {
		return
	}
	established := map[string]bool{}
	for _, n := range l.speaker.Neighbors() {
		established[n.Name] = n.State == stateEstablished
	}
	var due []otherKeys
	for i, ev := range moved {
		if !established[names[i]] {
			due = append(due, ev)
		}
	}
	l.play(rekeyed{due})
}

// keyHint is about a key that is not to be used any more, and is.
func keyHint(a *attachment, s tunnel.Status, now time.Time) string {
	if i := a.cfg.Trust.Invitation; i != nil {
		return invitationHint(i, s, now)
	}
	method := a.cfg.Trust.Method
	// Of two transports, that which is behind.
	for _, w := range s.Ways {
		if w.State != tunnel.StateUp || w.Key == "" || w.KeyPlace == 1 {
			continue
		}
		if s = w.Status; w.Transport == config.TransportWireGuard && method != config.TrustSecret {
			method = config.TrustPublicKey
		}
		break
	}
	if s.State != tunnel.StateUp || s.Key == "" || s.KeyPlace == 1 {
		return ""
	}
	what, list, do := "secret", "secret_files", "put the new one first in the peer's secret_files too"
	switch method {
	case config.TrustFingerprint:
		what, list, do = "certificate", "fingerprints", "replace the peer's"
	case config.TrustPublicKey:
		what, list, do = "key", "public_keys", "replace the peer's"
	}
	if s.KeyPlace == 0 {
		return fmt.Sprintf("the session still uses the %s that was replaced in %s: replace it at the peer too", what, s.Key)
	}
	return fmt.Sprintf("the session still uses the %s of %s, %s: %s before you remove it here", ordinal(s.KeyPlace), list, s.Key, do)
}

func ordinal(n int) string {
	words := []string{"first", "second", "third", "fourth", "fifth"}
	if n <= len(words) {
		return words[n-1]
	}
	return fmt.Sprintf("%dth", n)
}
