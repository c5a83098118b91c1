package wireguard

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"warren/tunnel"
)

// errKeyRemoved ends a session that was made with keys that the peer has not any more.
var errKeyRemoved = errors.New("the peer is known by another key now: the one that the session was made with was removed")

func (c *LinkConfig) keys() []Keys {
	if len(c.Keys) > 0 {
		return slices.Clone(c.Keys)
	}
	return []Keys{{PrivateKey: c.PrivateKey, PeerPublicKey: c.PublicKey, PresharedKey: c.PresharedKey}}
}

// keysChange asks the goroutine of Run to change keys.
type keysChange struct {
	to   []Keys
	done chan error // capacity 1
}

// SetKeys says what the peer is known by from now on: any of these keys, of which at least
// one is needed. Handshakes are begun with the first, and after one without an answer with
// the next. A session stays whose keys, or their name, are still among them; another ends at
// once. An error leaves all as it was. Run must be running, or have returned.
func (l *Link) SetKeys(keys []Keys) error {
	c := keysChange{to: slices.Clone(keys), done: make(chan error, 1)}
	select {
	case l.keys <- c:
		return <-c.done
	case <-l.done:
		return nil
	}
}

// Named returns who the two ends are by the keys of a name, see [Keys], whether there is a session or not. It may be called
// from any goroutine.
func (l *Link) Named(name string) (local, peer tunnel.Identity, ok bool) {
	own, far, ok := l.peer.Named(name)
	return tunnel.Identity(own), tunnel.Identity(far), ok
}

func (l *Link) setKeys(now time.Time, keys []Keys) error {
	ended, err := l.peer.SetKeys(now, keys)
	if err != nil {
		return fmt.Errorf("wireguard: %s: %w", l.cfg.Name, err)
	}
	l.known = keys
	l.tries.restart()
	if ended {
		l.down(now, errKeyRemoved)
	}
	l.hasten(now)
	return nil
}
