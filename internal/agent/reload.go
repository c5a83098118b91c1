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

// reloadFor does what reload does, and has the history tell of it.
func (l *loop) reloadFor(uid int64) (lines []string, err error) {
	lines, err = l.reload()
	e := history.Event{Kind: history.Reload, Time: history.At(l.now()), By: "signal", Changes: lines}
	if uid != bySignal {
		e.By, e.UID = fmt.Sprintf("uid %d", uid), &uid
	}
	switch {
	case err != nil:
		e.Cause, e.Changes = "nothing was changed, as it failed", reloadResult(nil, err).Errors
	case len(lines) == 0:
		e.Cause = "nothing to change"
	}
	l.history.Add(e)
	return lines, err
}

// reload reads the config again and applies the difference. What did not
// change stays up. On an error nothing has changed. It returns a line for each
// thing that it did.
func (l *loop) reload() ([]string, error) {
	next, err := l.load()
	if err != nil {
		return nil, err
	}
	if err := needsRestart(l.cfg, next); err != nil {
		return nil, err
	}
	if err := checkCertificate(l.cfg.TLS, next.TLS, time.Now()); err != nil {
		return nil, err
	}
	done, err := l.changeDoors(next)
	if err != nil {
		return nil, err
	}
	old := l.cfg
	l.cfg = next
	l.lines = nil
	l.acceptAgain()
	l.setAdmission()
	l.configure()
	done = append(done, l.lines...)
	l.gobgp.hurry()
	l.http.hurry()
	if !old.Accept.Equal(next.Accept) {
		done = append(done, "accept: changed")
	}
	if !old.Announce.Equal(next.Announce) {
		done = append(done, "announce: changed")
	}
	if old.BGP.MemoryMax != next.BGP.MemoryMax || old.BGP.RestartTime != next.BGP.RestartTime {
		l.speaker.SetLimits(next.BGP.MemoryMax, next.BGP.RestartTime)
		done = append(done, "bgp: the bounds of the speaker's process changed")
	}
	if line := l.setLog(next.Log); line != "" {
		done = append(done, line)
	}
	if old.History != next.History {
		l.history.SetFile(historyFile(next))
		done = append(done, "history: "+historyText(next.History))
	}
	l.announce()
	l.locate()
	l.applyRoutes()
	for _, line := range done {
		l.log.Info("reload", "change", line)
	}
	return done, nil
}

// changeDoors listens where next says, or as before if that cannot be had.
func (l *loop) changeDoors(next *config.Config) (done []string, err error) {
	var works []event
	if !slices.Equal(l.cfg.TLS.Listen, next.TLS.Listen) {
		err = l.listen.SetListen(next.TLS.Listen)
		works = append(works, tried{subject{kind: kindListenTLS}, nil})
		done = append(done, fmt.Sprintf("tls: listening on %s", listenText(next.TLS.Listen)))
	}
	if port := next.WireGuard.ListenPort; err == nil && port != l.cfg.WireGuard.ListenPort {
		err = l.listen.SetPort(port)
		works = append(works, tried{subject{kind: kindListenWireGuard}, nil})
		done = append(done, "wireguard: on "+portText(port))
	}
	if name := next.TLS.ServerName; err == nil && name != l.cfg.TLS.ServerName {
		l.listen.SetServerName(name)
		done = append(done, "tls: another server_name, for connections from now on")
	}
	if err == nil && l.cfg.API.HTTP != next.API.HTTP {
		err = l.http.move(next.API.HTTP)
		works = append(works, tried{subject{kind: kindHTTPPort}, nil})
		done = append(done, "http: "+httpText(next.API.HTTP))
	}
	if err == nil {
		var lines []string
		if lines, err = l.changeKeys(next); err != nil {
			l.play(l.do(listen{kindListenWireGuard})...)
			l.listen.SetServerName(l.cfg.TLS.ServerName)
			l.http.moveBack(l.cfg.API.HTTP)
		}
		done = append(done, lines...)
	}
	if err != nil {
		l.play(l.do(listen{kindListenTLS})...) // the port that could not be had has left the old one as it was
		return nil, fmt.Errorf("nothing was changed: %w", err)
	}
	l.play(works...)
	return done, nil
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
