package wireguard

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"warren/tunnel"
	"warren/tunnel/wireguard/protocol"
)

// secretKeys are the keys of one end that come out of some secrets.
func secretKeys(first bool, secrets ...byte) (keys []Keys) {
	for _, b := range secrets {
		secret := make([]byte, SecretLen)
		secret[0], secret[1] = 1, b
		k := DeriveSecret(secret, 0, first)
		k.Name = fmt.Sprint("secret ", b)
		keys = append(keys, k)
	}
	return keys
}

func (n *end) setKeys(keys ...Keys) {
	n.t.Helper()
	if err := n.l.SetKeys(keys); err != nil {
		n.t.Fatal(err)
	}
}

// waitKey waits until the session uses a key, which is the one at a place of the peer's.
func (n *end) waitKey(key string, place int) {
	n.t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		s := n.l.Status()
		if s.State == tunnel.StateUp && s.Key == key && s.KeyPlace == place {
			return
		}
		if time.Now().After(deadline) {
			n.t.Fatalf("want %s at %d: %+v", key, place, s)
		}
	}
}

// quiet fails if a tunnel went down or came up.
func (n *end) quiet() {
	n.t.Helper()
	select {
	case ev := <-n.events:
		n.t.Errorf("event %+v", ev)
	default:
	}
}

// Over a secret and over public keys: old and new at both ends, new and old, new alone. The
// tunnel stays up, and comes up again with what is left.
func TestKeysAreChanged(t *testing.T) {
	oldA, newA, keyB := protocol.NewPrivateKey(), protocol.NewPrivateKey(), protocol.NewPrivateKey()
	public := func(keys ...protocol.PrivateKey) (all []Keys) {
		for _, k := range keys {
			all = append(all, Keys{PeerPublicKey: k.Public()})
		}
		return all
	}
	for name, c := range map[string]struct {
		old, both, swapped, then struct{ a, b []Keys }
		key                      string // that b knows a by, then
		own                      protocol.PrivateKey
	}{
		"secrets": {
			old:     struct{ a, b []Keys }{secretKeys(true, 0), secretKeys(false, 0)},
			both:    struct{ a, b []Keys }{secretKeys(true, 0, 1), secretKeys(false, 0, 1)},
			swapped: struct{ a, b []Keys }{secretKeys(true, 1, 0), secretKeys(false, 1, 0)},
			then:    struct{ a, b []Keys }{secretKeys(true, 1), secretKeys(false, 1)},
			key:     "secret 1",
		},
		"public keys": {
			old:     struct{ a, b []Keys }{public(keyB), public(oldA)},
			both:    struct{ a, b []Keys }{public(keyB), public(oldA, newA)},
			swapped: struct{ a, b []Keys }{public(keyB), public(newA, oldA)},
			then:    struct{ a, b []Keys }{public(keyB), public(newA)},
			key:     newA.Public().String(), own: newA,
		},
	} {
		t.Run(name, func(t *testing.T) {
			// Keepalives make the peer use a session at once. A busy machine must not end it.
			live := LinkConfig{Keepalive: 100 * time.Millisecond, DeadAfter: MaxDeadAfter}
			ca, cb := live, live
			ca.Name, ca.Keys, cb.Name, cb.Keys = "b", c.old.a, "a", c.old.b
			b := startEnd(t, keyB, cb)
			ca.Remotes = []string{b.addr("127.0.0.1")}
			near := startEndpoint(t, Config{PrivateKey: oldA})
			a := near.start(ca)
			a.next(true)
			b.next(true)
			before := b.l.Status().Key
			b.setKeys(c.both.b...)
			a.setKeys(c.both.a...)
			a.reaches(b)
			b.waitKey(before, 1)
			if c.own != (protocol.PrivateKey{}) {
				if err := near.e.SetPrivateKey(c.own); err != nil {
					t.Fatal(err)
				}
				b.waitKey(c.key, 2)
			}
			b.setKeys(c.swapped.b...)
			a.setKeys(c.swapped.a...)
			b.waitKey(c.key, 1)
			a.reaches(b)
			b.reaches(a)
			a.setKeys(c.then.a...)
			b.setKeys(c.then.b...)
			b.waitKey(c.key, 1)
			a.quiet()
			b.quiet()
			a.stop()
			ca.Keys = c.then.a
			near.start(ca).next(true)
		})
	}
}

// The keys that a session was made with are taken away: the tunnel goes down at once and
// says why, and comes up with those that are left.
func TestRemovedKeysEndTheTunnel(t *testing.T) {
	live := LinkConfig{Keepalive: 100 * time.Millisecond, DeadAfter: MaxDeadAfter}
	ca, cb := live, live
	ca.Name, ca.Keys, cb.Name, cb.Keys = "b", secretKeys(true, 0, 1), "a", secretKeys(false, 0, 1)
	b := startEnd(t, protocol.NewPrivateKey(), cb)
	ca.Remotes = []string{b.addr("127.0.0.1")}
	a := startEnd(t, protocol.NewPrivateKey(), ca)
	a.next(true)
	b.next(true)
	a.setKeys(secretKeys(true, 1)...)
	if ev := a.next(false); !strings.Contains(ev.Reason, "was removed") {
		t.Errorf("%+v", ev)
	}
	if ev := a.next(true); ev.Local != tunnel.Identity(secretKeys(true, 1)[0].PrivateKey.Public()) {
		t.Errorf("%+v", ev)
	}
	a.waitKey("secret 1", 1)
	b.waitKey("secret 1", 2)
	if err := a.l.SetKeys(nil); err == nil {
		t.Error("a peer without keys")
	}
	a.stop()
	if err := a.l.SetKeys(nil); err != nil {
		t.Errorf("a link that was stopped: %v", err)
	}
}

// With several addresses and several keys, each address is tried with each of the keys.
func TestLaterKeysAreTriedEverywhere(t *testing.T) {
	live := LinkConfig{Keepalive: 100 * time.Millisecond, DeadAfter: MaxDeadAfter}
	ca, cb := live, live
	ca.Name, ca.Keys, cb.Name, cb.Keys = "b", secretKeys(true, 1, 0), "a", secretKeys(false, 0)
	b := startEnd(t, protocol.NewPrivateKey(), cb)
	ca.Remotes = []string{b.addr("127.0.0.1"), "127.0.0.1:9"}
	a := startEnd(t, protocol.NewPrivateKey(), ca)
	a.next(true)
	a.waitKey("secret 0", 2)
	a.reaches(b)
}
