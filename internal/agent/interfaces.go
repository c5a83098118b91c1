package agent

import (
	"crypto/tls"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"warren/internal/config"
	"warren/internal/underlay/paths"
	"warren/tunnel"
	"warren/tunnel/tlslink"
	"warren/tunnel/wireguard"
	"warren/tunnel/wireguard/protocol"
)

// aliasPrefix marks the interfaces that are ours (`ip link` shows the alias),
// so that those a killed daemon left behind are known.
const aliasPrefix = "warren:"

func isOurs(_, alias string) bool { return strings.HasPrefix(alias, aliasPrefix) }

// controller marks sockets so that they keep to the underlay, and knows their packets if
// they do not.
type controller interface {
	Control(device string) func(network, address string, c syscall.RawConn) error
	Own(ifname string, packet []byte) bool
	portKnower
}

// portKnower lets in what comes to UDP ports that it is told.
type portKnower interface {
	ListensUDP(port uint16)
	LeavesUDP(port uint16)
}

// toldPort is the UDP port of one socket, as the guard was told. Its methods may be called from any goroutine.
type toldPort struct {
	guard portKnower

	mu   sync.Mutex
	port uint16 // 0: none
}

// is tells the guard that the port is this one by now; 0: there is none any more.
func (p *toldPort) is(port uint16) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.port == port {
		return
	}
	if p.port != 0 {
		p.guard.LeavesUDP(p.port)
	}
	if p.port = port; port != 0 {
		p.guard.ListensUDP(port)
	}
}

func (p *toldPort) now() uint16 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.port
}

// interfaces makes the tunnels of a real machine: the part that the transports
// share, and the way to each of them.
type interfaces struct {
	tls        *tlslink.Endpoint
	wireguard  *wireguard.Endpoint
	guard      controller
	paths      *paths.Watcher
	left       *leftovers       // of the daemon before
	path       string           // of warren.toml, absolute
	kernel     names            // of the interfaces that the kernel's WireGuard works, and that are open or being opened
	wireguards wireguards       // those of the kernel's WireGuard
	now        func() time.Time // goes on while the machine sleeps
	log        *slog.Logger
}

// Open opens the tunnel of an attachment, as its transport does that. It may be called
// for several at the same time.
func (i *interfaces) Open(name string, t config.Tunnel, report reporter) (tunnelHandle, error) {
	switch t.Transport {
	case config.TransportExternal:
		return i.openExternal(name, t, report)
	case config.TransportWireGuard:
		if t.Datapath == config.DatapathKernel {
			return i.openKernel(name, t, report)
		}
		return i.openWireGuard(name, t, report)
	case config.TransportAuto:
		return i.openAuto(name, t, report)
	default:
		return i.openTLS(name, t, report)
	}
}

// SetListen has the tls transport listen there and nowhere else.
func (i *interfaces) SetListen(addrs []netip.AddrPort) error { return i.tls.SetListen(addrs) }

// SetServerName has the tls transport show a name when it dials.
func (i *interfaces) SetServerName(name string) { i.tls.SetServerName(name) }

// SetAdmission has the tls transport let peers in that there is no tunnel for yet.
func (i *interfaces) SetAdmission(a *tlslink.Admission) { i.tls.SetAdmission(a) }

// SetCertificate has the tls transport present another certificate.
func (i *interfaces) SetCertificate(c *tls.Certificate) { i.tls.SetCertificate(c) }

// SetPrivateKey has the wireguard transport use another key where it is the router's.
func (i *interfaces) SetPrivateKey(k protocol.PrivateKey) error { return i.wireguard.SetPrivateKey(k) }

// Refusals returns who was refused by one of the transports.
func (i *interfaces) Refusals(since time.Time) []tunnel.Refusal {
	all := append(i.tls.Refusals(since), i.wireguard.Refusals(since)...)
	slices.SortStableFunc(all, func(a, b tunnel.Refusal) int { return b.Last.Compare(a.Last) })
	return all
}

// SetPort has the wireguard transport use this UDP port.
func (i *interfaces) SetPort(port uint16) error { return i.wireguard.SetListenPort(port) }
