package agent

import (
	"crypto/tls"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"warren/internal/config"
	"warren/internal/history"
	"warren/tunnel"
	"warren/tunnel/tlslink"
	"warren/tunnel/wireguard/protocol"
)

// listener is what the loop needs of the transports' shared sides.
type listener interface {
	SetListen([]netip.AddrPort) error
	SetPort(uint16) error
	SetServerName(string)
	SetAdmission(*tlslink.Admission)
	SetCertificate(*tls.Certificate)
	SetPrivateKey(protocol.PrivateKey) error
	// Refusals returns who was refused since a moment, the latest first.
	Refusals(since time.Time) []tunnel.Refusal
}

// bySignal stands for the user who asks for a reload where that is not known, as a signal says nothing
// of its sender.
const bySignal = -1

// reloaded is what a reload has done.
type reloaded struct {
	lines    []string  // one for each thing
	goesBack time.Time // when it is taken back; zero: it stays
}

// reloadFor does what reload does, and has the history tell of it. What it has changed is taken back unless
// it is confirmed within a time; 0: it stays (confirm.go).
func (l *loop) reloadFor(uid int64, within time.Duration) (r reloaded, err error) {
	if err = l.mustConfirm(within); err == nil {
		r.lines, err = l.reloadWithin(within)
	}
	e := l.reloadEvent(uid)
	e.Changes = r.lines
	if err == nil {
		r.goesBack = l.awaitConfirmation(e.By, within)
	}
	switch {
	case err != nil:
		e.Cause, e.Changes = "nothing was changed, as it failed", reloadResult(nil, err).Errors
	case !r.goesBack.IsZero():
		e.Cause = fmt.Sprintf("to be confirmed within %v", within)
	case len(r.lines) == 0:
		e.Cause = "nothing to change"
	}
	l.history.Add(e)
	return r, err
}

// reloadEvent begins an event about what a user has asked for.
func (l *loop) reloadEvent(uid int64) history.Event {
	e := history.Event{Kind: history.Reload, Time: history.At(l.now()), By: "signal"}
	if uid != bySignal {
		e.By, e.UID = fmt.Sprintf("uid %d", uid), &uid
	}
	return e
}

// reload reads the config again and applies the difference. What did not
// change stays up. On an error nothing has changed. It returns a line for each
// thing that it did.
func (l *loop) reload() ([]string, error) {
	next, err := l.load()
	if err != nil {
		return nil, err
	}
	f := l.foresee(next)
	if f.refused != nil {
		return nil, f.refused
	}
	if err := openDoors(f.doors); err != nil {
		return nil, err
	}
	lines := make([]string, len(f.doors))
	for i, c := range f.doors {
		lines[i] = c.Text
	}
	return l.carryOut(f, lines), nil
}

// carryOut does what was foreseen, where the doors are changed already: done has the lines about them. It returns a line for each
// thing that was done.
func (l *loop) carryOut(f *foreseen, done []string) []string {
	l.cfg, l.lines = f.next, nil
	l.invitations.reread()
	l.undone = slices.DeleteFunc(l.undone, func(c routerChange) bool {
		return slices.ContainsFunc(f.doors, func(d routerChange) bool { return d.Keys[0] == c.Keys[0] })
	})
	l.acceptAgain()
	l.keepOrders()
	l.setAdmission()
	l.configure()
	done = append(done, l.lines...)
	l.gobgp.hurry()
	l.http.hurry()
	for _, c := range f.router {
		if c.apply != nil {
			_ = c.apply() // which cannot fail
		}
		done = append(done, c.Text)
	}
	l.setLog(f.next.Log)
	l.announce()
	l.locate()
	l.applyRoutes()
	for _, line := range done {
		l.log.Info("reload", "change", line)
	}
	return done
}

func httpText(address string) string {
	if address == "" {
		return "off"
	}
	return "answered at " + address
}

func historyText(h config.History) string {
	if h.File == "" {
		return "in memory only"
	}
	return fmt.Sprintf("written to %s, up to %d bytes", h.File, h.MaxSize)
}

func portText(port uint16) string {
	if port == 0 {
		return "a port that the kernel chooses"
	}
	return fmt.Sprintf("port %d", port)
}

// needsRestart refuses changes that would end every session anyway: doing so
// is the operator's decision.
func needsRestart(old, next *config.Config) error {
	var keys []string
	add := func(key string, same bool) {
		if !same {
			keys = append(keys, key)
		}
	}
	add("name", old.Name == next.Name)
	add("asn", old.ASN == next.ASN)
	add("router_id", old.RouterID == next.RouterID)
	add("[fib]", old.FIB == next.FIB)
	add("gobgp and socket of [api]", old.API.Gobgp == next.API.Gobgp && old.API.Socket == next.API.Socket)
	if keys == nil {
		return nil
	}
	return fmt.Errorf("nothing was changed: %s cannot change while sessions are up; restart warren to apply it",
		strings.Join(keys, ", "))
}

func listenText(addrs []netip.AddrPort) string {
	if len(addrs) == 0 {
		return "no address"
	}
	text := make([]string, len(addrs))
	for i, a := range addrs {
		text[i] = a.String()
	}
	return strings.Join(text, ", ")
}
