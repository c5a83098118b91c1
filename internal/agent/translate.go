package agent

import (
	"crypto/sha256"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"warren/bgp"
	"warren/internal/config"
	"warren/internal/fib"
	"warren/internal/logging"
	"warren/internal/speaker"
	"warren/internal/underlay"
	"warren/tunnel"
)

// This file has the translations of the config into the words of the packages that do what it
// says. What a transport alone has is beside the transport: trust (tls.go), wireguardKeys and
// sendEvery (wireguard.go), the external interface's (external.go).

// attachmentName is the name of the neighbor behind a peer's i-th tunnel, from 0. A slash cannot
// be in a peer's name.
func attachmentName(peer string, i int) string {
	if i == 0 {
		return peer
	}
	return fmt.Sprintf("%s/%d", peer, i)
}

// peerOf is the name of the peer that a neighbor is.
func peerOf(neighbor string) string {
	peer, _, _ := strings.Cut(neighbor, "/")
	return peer
}

// wantedPeer is what the machine takes of a peer's file.
type wantedPeer struct {
	name    string
	bgp     config.PeerBGP
	tunnels []config.Tunnel
}

func wantedPeers(peers []config.Peer) []wantedPeer {
	all := make([]wantedPeer, 0, len(peers))
	for _, p := range peers {
		all = append(all, wantedPeer{name: p.Name, bgp: p.BGP, tunnels: p.Tunnels})
	}
	return all
}

// neighbor is an attachment's side of BGP. There is a session.
func (a *attachment) neighbor() bgp.Neighbor {
	b, s := a.peer.bgp, a.session
	imports, exports := policy(b.Import), policy(b.Export)
	if s.noIPv6 {
		imports, exports = onlyIPv4(imports), onlyIPv4(exports)
	}
	ifname := a.cfg.Interface
	if a.isLAN() {
		ifname = a.lan.Interface // unless it is configured the address alone decides
	}
	return bgp.Neighbor{
		Name:            a.name,
		Generation:      s.generation,
		Interface:       ifname,
		LocalAddr:       s.local,
		PeerAddr:        s.peer,
		Addresses:       s.hopAddresses(),
		ASN:             b.ASN,
		Import:          imports,
		Export:          exports,
		MaxPrefixes:     b.MaxPrefixes,
		HardMaxPrefixes: b.HardMaxPrefixes,
		RTT:             s.rtt,
		Preference:      a.cfg.Preference,

		RouteReflectorClient: b.RouteReflectorClient,
		ClusterID:            b.ClusterID,
		ASOverride:           b.ASOverride,
		AllowOwnAS:           b.AllowOwnAS,

		Network:     s.at.network,
		TTLSecurity: a.lan.TTLSecurity,
		Password:    bgp.Password(a.lan.Password),
	}
}

// policy is the config's list of filters in the words of package bgp.
func policy(p config.Policy) bgp.Policy {
	filters := make([]bgp.Filter, 0, len(p.Prefixes))
	for _, f := range p.Prefixes {
		filters = append(filters, bgp.Filter{Prefix: f.Prefix, Ge: f.Ge, Le: f.Le})
	}
	return bgp.Policy{Any: p.Any, Default: p.Default, Own: p.Own, Prefixes: slices.Clip(filters)}
}

// onlyIPv4 is the part of a policy that is about IPv4.
func onlyIPv4(p bgp.Policy) bgp.Policy {
	var filters []bgp.Filter
	if p.Any {
		filters = append(filters, bgp.Filter{Prefix: netip.MustParsePrefix("0.0.0.0/0"), Ge: 1, Le: 32})
	}
	if p.Default {
		filters = append(filters, bgp.Filter{Prefix: netip.MustParsePrefix("0.0.0.0/0")})
	}
	for _, f := range p.Prefixes {
		if f.Prefix.Addr().Is4() {
			filters = append(filters, f)
		}
	}
	return bgp.Policy{Own: p.Own, Prefixes: filters}
}

// attached is what routes over the attachment need.
func (a *attachment) attached() attached {
	return attached{peer: a.peer.name, ifname: a.ifname(), lan: a.isLAN(), weight: a.cfg.Weight, preference: a.cfg.Preference, imports: policy(a.peer.bgp.Import)}
}

// endpoints returns the two addresses inside a tunnel of our own: the configured ones, or
// those that both ends derive from who they are.
func endpoints(cfg config.Tunnel, local, peer tunnel.Identity) (localAddr, peerAddr netip.Addr) {
	if !cfg.PeerAddress.IsValid() {
		return tunnel.Addresses(local, peer, uint16(cfg.Link))
	}
	for _, a := range cfg.Address {
		if a.Contains(cfg.PeerAddress) {
			localAddr = a.Addr()
			break
		}
	}
	return withZone(localAddr, cfg.Interface), withZone(cfg.PeerAddress, cfg.Interface)
}

// endpoints4 returns the IPv4 addresses that both ends of a tunnel of our own derive, where
// they derive any.
func endpoints4(cfg config.Tunnel, local, peer tunnel.Identity) (e ends) {
	if !cfg.PeerAddress.IsValid() && len(cfg.Address) == 0 {
		e.local, e.peer = tunnel.Addresses4(local, peer, uint16(cfg.Link))
	}
	return e
}

func withZone(a netip.Addr, ifname string) netip.Addr {
	if a.IsLinkLocalUnicast() && a.Is6() {
		return a.WithZone(ifname)
	}
	return a
}

// dialed returns the remotes as a transport takes them.
func dialed(remotes []config.Remote) []string {
	out := make([]string, len(remotes))
	for i, r := range remotes {
		out[i] = r.String()
	}
	return out
}

// identity is what this router is called towards peers that share a secret with it:
// stable over restarts, and different for each router of a network, as
// router IDs must be anyway.
func identity(cfg *config.Config) tunnel.Identity {
	return sha256.Sum256(fmt.Appendf(nil, "warren router %q %d %s", cfg.Name, cfg.ASN, cfg.RouterID))
}

// hop is what routes need to know of an interface.
func (s *state) hop(ifname string) fib.Hop {
	return fib.Hop{Down: s.down[ifname]}
}

func fibConfig(cfg *config.Config) fib.Config {
	f := cfg.FIB
	return fib.Config{Table: f.Table, Metric: f.Metric, Protocol: f.Protocol, Source4: f.Source4, Source6: f.Source6}
}

func guardConfig(cfg *config.Config) underlay.Config {
	return underlay.Config{FIBTable: cfg.FIB.Table, FIBProtocol: cfg.FIB.Protocol}
}

func speakerConfig(cfg *config.Config) speaker.Config {
	return speaker.Config{ASN: cfg.ASN, RouterID: cfg.RouterID, MemoryMax: cfg.BGP.MemoryMax, RestartTime: cfg.BGP.RestartTime}
}

func logSettings(c config.Log) logging.Settings {
	return logging.Settings{Level: c.Level, JSON: c.Format == config.LogJSON}
}

// addressesOf returns the addresses of prefixes that are one address long.
func addressesOf(prefixes []netip.Prefix) (addrs []netip.Addr) {
	for _, p := range prefixes {
		addrs = append(addrs, p.Addr())
	}
	return addrs
}
