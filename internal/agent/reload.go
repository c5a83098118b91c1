package agent

import (
	"context"
	"crypto/tls"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"

	"warren/internal/config"
	"warren/tunnel"
	"warren/tunnel/wireguard/protocol"
)

// listener is what the loop needs of the transports' shared sides.
type listener interface {
	SetListen([]netip.AddrPort) error
	SetPort(uint16) error
	SetServerName(string)
	SetCertificate(*tls.Certificate)
	SetPrivateKey(protocol.PrivateKey) error
	// Refusals returns who was refused since a moment, the latest first.
	Refusals(since time.Time) []tunnel.Refusal
}

// reload reads the config again and applies the difference. What did not
// change stays up. On an error nothing has changed. It returns a line for each
// thing that it did.
func (l *loop) reload(ctx context.Context) ([]string, error) {
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
	done = append(done, l.removePeers(ctx)...)
	changed, reopen := l.changePeers(ctx)
	done = append(done, changed...)
	l.setTunnels()
	done = append(done, l.addPeers(reopen)...)
	l.setPeers()
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
	l.announce()
	l.applyRoutes()
	for _, line := range done {
		l.log.Info("reload", "change", line)
	}
	return done, nil
}

// changeDoors listens where next says, or as before if that cannot be had.
func (l *loop) changeDoors(next *config.Config) (done []string, err error) {
	if !slices.Equal(l.cfg.TLS.Listen, next.TLS.Listen) {
		err = l.listen.SetListen(next.TLS.Listen)
		l.listenErr = err
		done = append(done, fmt.Sprintf("tls: listening on %s", listenText(next.TLS.Listen)))
	}
	if port := next.WireGuard.ListenPort; err == nil && port != l.cfg.WireGuard.ListenPort {
		err = l.listen.SetPort(port)
		l.portErr = err
		done = append(done, "wireguard: on "+portText(port))
	}
	if name := next.TLS.ServerName; err == nil && name != l.cfg.TLS.ServerName {
		l.listen.SetServerName(name)
		done = append(done, "tls: another server_name, for connections from now on")
	}
	if err == nil {
		var lines []string
		if lines, err = l.changeKeys(next); err != nil {
			l.setPort()
			l.listen.SetServerName(l.cfg.TLS.ServerName)
		}
		done = append(done, lines...)
	}
	if err != nil {
		l.setListen() // the port that could not be had has left the old one as it was
		return nil, fmt.Errorf("nothing was changed: %w", err)
	}
	return done, nil
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
	add("[api]", old.API == next.API)
	if keys == nil {
		return nil
	}
	return fmt.Errorf("nothing was changed: %s cannot change while sessions are up; restart warren to apply it",
		strings.Join(keys, ", "))
}

func (l *loop) removePeers(ctx context.Context) (done []string) {
	keep := map[string]bool{}
	for _, p := range l.cfg.Peers {
		keep[p.Name] = true
	}
	for _, name := range slices.Sorted(maps.Keys(l.peers)) {
		if !keep[name] {
			l.closePeer(ctx, l.peers[name], "the peer was removed from this router's configuration")
			delete(l.peers, name)
			done = append(done, "peer "+name+": removed")
		}
	}
	return done
}

// changePeers changes policies in place, and closes the tunnels that changed.
// It returns the names of those: addPeers opens them anew when all are closed,
// because interface names and links may have moved from one to another.
func (l *loop) changePeers(ctx context.Context) (done []string, reopen map[string]bool) {
	reopen = map[string]bool{}
	for _, next := range l.cfg.Peers {
		p := l.peers[next.Name]
		if p == nil {
			continue
		}
		rekeyed, line := l.changeTrust(p, next.Tunnel)
		if line != "" {
			done = append(done, line)
		}
		old := p.cfg
		if rekeyed {
			old.Tunnel.Trust = next.Tunnel.Trust
		}
		if old.Equal(next) {
			p.cfg = next
			continue
		}
		switch {
		case !old.Tunnel.Equal(next.Tunnel):
			l.closePeer(ctx, p, "the peer changed its configuration")
			delete(l.peers, next.Name)
			reopen[next.Name] = true
			done = append(done, "peer "+next.Name+": tunnel changed, reconnecting")
		case old.BGP.ASN != next.BGP.ASN:
			p.cfg = next
			done = append(done, fmt.Sprintf("peer %s: now AS %d, BGP session starts anew", next.Name, next.BGP.ASN))
		case !old.BGP.SameSession(next.BGP):
			p.cfg = next
			done = append(done, "peer "+next.Name+": other rules for AS numbers and reflection, BGP session starts anew")
		default:
			p.cfg = next
			done = append(done, "peer "+next.Name+": filters changed, session kept")
		}
	}
	return done, reopen
}

func (l *loop) addPeers(reopen map[string]bool) (done []string) {
	var added []*peer
	for _, next := range l.cfg.Peers {
		if l.peers[next.Name] != nil {
			continue
		}
		p := &peer{cfg: next}
		l.peers[next.Name] = p
		added = append(added, p)
		if !reopen[next.Name] {
			done = append(done, "peer "+next.Name+": added")
		}
	}
	l.open(added)
	return done
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
