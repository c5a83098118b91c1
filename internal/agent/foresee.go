package agent

import (
	"bytes"
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"warren/internal/config"
	"warren/internal/status"
)

// foreseen is what a reload of a config does. It is found out before anything is done: a reload does
// that (carryOut), and `warren reload --dry-run` only tells it.
type foreseen struct {
	next    *config.Config
	refused error          // why it does nothing at all
	doors   []routerChange // what can fail, and comes first
	peers   []peerPlan
	router  []routerChange
}

// routerChange is a change of something that is not one peer's.
type routerChange struct {
	status.Change
	apply func() error // nil: it follows from the config that the loop has
	undo  func()       // takes back what apply has done
	force func()       // has it be tried until it succeeds, where apply has failed and there is no way back
}

// foresee finds out what a reload of next does. It changes nothing.
func (l *loop) foresee(next *config.Config) *foreseen {
	f := &foreseen{next: next, refused: needsRestart(l.cfg, next)}
	if f.refused == nil {
		f.refused = checkCertificate(l.cfg.TLS, next.TLS, time.Now())
	}
	l.play(l.using())
	f.doors, f.router = l.doorChanges(next), l.routerChanges(next)
	f.peers = l.m.plan(wantedPeers(l.peersOf(next)))
	return f
}

// changes lists all that changes, and stays the peers for which nothing does.
func (f *foreseen) changes() (all []status.Change, stays []string) {
	for _, c := range f.doors {
		all = append(all, c.Change)
	}
	for _, p := range f.peers {
		lines := p.changes()
		if all = append(all, lines...); len(lines) == 0 {
			stays = append(stays, p.peer.name)
		}
	}
	for _, c := range f.router {
		all = append(all, c.Change)
	}
	return all, stays
}

// foretold is the answer to `warren reload --dry-run`.
func (l *loop) foretold() status.Foretold {
	out := status.Foretold{Path: l.cfg.Path}
	next, err := l.load()
	if err != nil {
		out.Errors = reloadResult(nil, err).Errors
		return out
	}
	f := l.foresee(next)
	if out.Changes, out.Stays = f.changes(); f.refused != nil {
		out.Errors = reloadResult(nil, f.refused).Errors
	}
	return out
}

// foretellFor asks the loop.
func (l *loop) foretellFor(ctx context.Context) (out status.Foretold, err error) {
	err = l.ask(ctx, func(context.Context) { out = l.foretold() })
	return out, err
}

// using is what the machine needs to know of sessions for its plan.
func (l *loop) using() using {
	u := using{map[uint64]inUse{}, map[string]int{}}
	for _, n := range l.speaker.Neighbors() {
		u.announced[n.Name] = n.Received - n.Stale
	}
	for id, h := range l.handles.tunnels {
		if k, ok := keyOf(h.Status()); ok {
			u.keys[id] = k
		}
	}
	return u
}

// changed begins a change of keys of warren.toml.
func changed(text string, keys ...string) routerChange {
	return routerChange{Change: status.Change{Effect: status.ChangeRouter, Keys: keys, Text: text}}
}

// doorChanges are those of what peers connect to, and of this router's own keys.
func (l *loop) doorChanges(next *config.Config) (all []routerChange) {
	old := l.cfg
	add := func(c routerChange, apply func() error, undo func()) {
		c.apply, c.undo = apply, undo
		all = append(all, c)
	}
	door := func(c routerChange, k kind, open func() error) {
		add(c, func() error {
			err := open()
			if err == nil {
				l.play(tried{subject{kind: k}, nil})
			}
			return err
		}, func() { l.play(l.do(listen{k})...) })
	}
	if !slices.Equal(old.TLS.Listen, next.TLS.Listen) {
		door(changed("tls: listening on "+listenText(next.TLS.Listen), "tls.listen"), kindListenTLS,
			func() error { return l.listenTLS(next.TLS.Listen) })
	}
	if port := next.WireGuard.ListenPort; port != old.WireGuard.ListenPort {
		door(changed("wireguard: on "+portText(port), "wireguard.listen_port"), kindListenWireGuard,
			func() error { return l.listen.SetPort(port) })
	}
	if name := next.TLS.ServerName; name != old.TLS.ServerName {
		add(changed("tls: another server_name, for connections from now on", "tls.server_name"),
			func() error { l.listen.SetServerName(name); return nil }, func() { l.listen.SetServerName(old.TLS.ServerName) })
	}
	if address := next.API.HTTP; address != old.API.HTTP {
		c := changed("http: "+httpText(address), "api.http")
		c.force = func() { l.http.moveBack(address) }
		add(c, func() error {
			err := l.http.move(address)
			if err == nil {
				l.play(tried{subject{kind: kindHTTPPort}, nil})
			}
			return err
		}, func() { l.http.moveBack(old.API.HTTP) })
	}
	if key := next.WireGuard.PrivateKey; key != nil && !bytes.Equal(old.WireGuard.PrivateKey, key) {
		add(changed("wireguard: another private key, for handshakes from now on", "wireguard.private_key_file"),
			func() error { return l.listen.SetPrivateKey(wireguardKey(next.WireGuard)) }, nil)
	}
	if !old.TLS.SameCertificate(next.TLS) {
		add(changed("tls: another certificate, for connections from now on", "tls.cert_file"),
			func() error { l.listen.SetCertificate(next.TLS.Certificate); return nil }, nil)
	}
	return all
}

// routerChanges are those of the rest of warren.toml.
func (l *loop) routerChanges(next *config.Config) (all []routerChange) {
	old := l.cfg
	add := func(c routerChange, apply func()) {
		if apply != nil {
			c.apply = func() error { apply(); return nil }
		}
		all = append(all, c)
	}
	if !old.Accept.Equal(next.Accept) {
		add(changed("accept: changed", "accept"), nil)
	}
	if keys := old.Announce.AnnouncedBy(next.Announce); len(keys) > 0 {
		add(changed("announce: changed"+networksText(old.Announce, next.Announce)+because(keys), keys...), nil)
	}
	if old.BGP.MemoryMax != next.BGP.MemoryMax || old.BGP.RestartTime != next.BGP.RestartTime {
		add(changed("bgp: the bounds of the speaker's process changed", "bgp.memory_max", "bgp.restart_time"),
			func() {
				l.speaker.SetLimits(next.BGP.MemoryMax, next.BGP.RestartTime)
				l.note(next)
			})
	}
	if line := l.logChange(next.Log); line != "" {
		add(changed(line, "log"), nil)
	}
	if old.History != next.History {
		add(changed("history: "+historyText(next.History), "history"), func() { l.history.SetFile(historyFile(next)) })
	}
	return all
}

// networksText names the networks that are announced from now on, and those that are not any more.
func networksText(before, next config.Announce) string {
	var parts []string
	note := func(what string, of []netip.Prefix) {
		if len(of) > 0 {
			texts := make([]string, len(of))
			for i, p := range of {
				texts[i] = p.String()
			}
			parts = append(parts, what+" "+few(texts))
		}
	}
	added, removed := before.NetworksBy(next)
	note("also", added)
	note("no more", removed)
	if len(parts) == 0 {
		return ""
	}
	return ", " + strings.Join(parts, ", ")
}

// openDoors applies the changes that can fail. If one does, those before it are taken back.
func openDoors(doors []routerChange) error {
	for i, c := range doors {
		err := c.apply()
		if err == nil {
			continue
		}
		for _, done := range doors[:i] {
			if done.undo != nil {
				done.undo()
			}
		}
		return fmt.Errorf("nothing was changed: %w", err)
	}
	return nil
}

// forceDoors applies all changes of the doors that can be, and returns a line for each change, which says of those that cannot
// what they failed with. left are those of them that are to be applied again. An address or a port that cannot be had is not among
// them: it is a condition instead, and tried again with the config that the loop has by then.
func (l *loop) forceDoors(doors []routerChange) (lines []string, left []routerChange) {
	for _, c := range doors {
		err := c.apply()
		if err == nil {
			lines = append(lines, c.Text)
			continue
		}
		lines = append(lines, fmt.Sprintf("not yet, and tried again: %s: %v", c.Text, err))
		switch {
		case slices.Contains(c.Keys, "tls.listen"):
			l.play(tried{subject{kind: kindListenTLS}, err})
		case slices.Contains(c.Keys, "wireguard.listen_port"):
			l.play(tried{subject{kind: kindListenWireGuard}, err})
		case c.force != nil:
			c.force()
		default:
			left = append(left, c)
			l.log.Error("cannot go back in this yet; trying again", "change", c.Text, "err", err)
		}
	}
	return lines, left
}
