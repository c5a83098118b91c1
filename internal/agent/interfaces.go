package agent

import (
	"log/slog"
	"net/netip"
	"strings"
	"syscall"

	"warren/internal/config"
	"warren/tunnel"
	"warren/tunnel/tlslink"
)

// aliasPrefix marks the interfaces that are ours (`ip link` shows the alias),
// so that those a killed daemon left behind are known.
const aliasPrefix = "warren:"

func isOurs(_, alias string) bool { return strings.HasPrefix(alias, aliasPrefix) }

// controller marks sockets so that they keep to the underlay.
type controller interface {
	Control(device string) func(network, address string, c syscall.RawConn) error
}

// interfaces makes the tunnels of a real machine: the part that the transports
// share, and the way to each of them.
type interfaces struct {
	endpoint *tlslink.Endpoint
	guard    controller
	log      *slog.Logger
}

// Open opens the tunnel of a peer, as its transport does that.
func (i *interfaces) Open(cfg config.Peer, report reporter) (openTunnel, error) {
	if cfg.Tunnel.Transport == config.TransportExternal {
		return i.openExternal(cfg, report)
	}
	return i.openTLS(cfg, report)
}

// endpoints returns the two addresses inside a tunnel of our own: the
// configured ones, or those that both ends derive from who they are.
func endpoints(cfg config.Tunnel, ev tunnel.Event) (local, peer netip.Addr) {
	if !cfg.PeerAddress.IsValid() {
		return tunnel.Addresses(ev.Local, ev.Peer, uint16(cfg.Link))
	}
	for _, a := range cfg.Address {
		if a.Contains(cfg.PeerAddress) {
			local = a.Addr()
			break
		}
	}
	return withZone(local, cfg.Interface), withZone(cfg.PeerAddress, cfg.Interface)
}
