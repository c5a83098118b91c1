package invitation

import (
	"cmp"
	"crypto/sha256"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strconv"

	"warren/internal/config"
)

// The AS numbers of 32 bits for private use (RFC 6996).
const (
	firstPrivate = 4200000000
	lastPrivate  = 4294967294
)

// freeASN returns a private AS number that no peer has. There are so many that it is drawn: two routers that invite
// others at the same time do not take the same, as they would if it was the first that is free.
func freeASN(c *config.Config) uint32 {
	taken := map[uint32]bool{c.ASN: true}
	for _, p := range c.Peers {
		taken[p.BGP.ASN] = true
	}
	for {
		if n := firstPrivate + rand.Uint32N(lastPrivate-firstPrivate+1); !taken[n] {
			return n
		}
	}
}

// proposeID returns a router ID for a router with these networks: the first address of its first IPv4 network, which no
// other router has. Without one it is drawn from 100.64.0.0/10, which is nobody's on the Internet (RFC 6598).
func proposeID(networks []netip.Prefix, own netip.Addr) netip.Addr {
	for _, p := range networks {
		if !p.Addr().Is4() || p.Bits() == 0 {
			continue
		}
		id := p.Addr()
		if p.Bits() < 31 {
			id = id.Next()
		}
		if id != own {
			return id
		}
	}
	for {
		n := rand.Uint32N(1 << 22)
		if id := netip.AddrFrom4([4]byte{100, 64 + byte(n>>16), byte(n >> 8), byte(n)}); id != own {
			return id
		}
	}
}

// listening says over which transport a router may be met, and at which addresses it listens for that. wanted is one of both; "": TLS
// where the router listens for it, else WireGuard.
func listening(c *config.Config, wanted string) (transport string, at []netip.AddrPort, err error) {
	const tls, wireguard = `listen in [tls], such as ["0.0.0.0:443"]`, "listen_port in [wireguard], such as 51820"
	port := c.WireGuard.ListenPort
	switch {
	case wanted != config.TransportWireGuard && len(c.TLS.Listen) > 0:
		return config.TransportTLS, c.TLS.Listen, nil
	case wanted != config.TransportTLS && port != 0:
		return config.TransportWireGuard, []netip.AddrPort{netip.AddrPortFrom(netip.IPv4Unspecified(), port), netip.AddrPortFrom(netip.IPv6Unspecified(), port)}, nil
	case wanted == config.TransportTLS:
		return "", nil, errors.New("this router does not listen for TLS: set " + tls + ", and reload; until then nobody could come")
	case wanted == config.TransportWireGuard:
		return "", nil, errors.New("this router has no UDP port that a peer could know: set " + wireguard + ", and reload; until then nobody could come")
	}
	return "", nil, errors.New("this router listens nowhere: set " + tls + ", or " + wireguard + ", and reload; until then nobody could come")
}

// linkLocals returns addresses in the tunnel for the inviting end and for the other, which follow from the invitation's secret.
func linkLocals(secret []byte) (inviting, joined netip.Addr) {
	sum := sha256.Sum256(append([]byte("warren invitation addresses "), secret...))
	address := func(id []byte) netip.Addr {
		a := [16]byte{0: 0xfe, 1: 0x80}
		copy(a[8:], id)
		return netip.AddrFrom16(a)
	}
	return address(sum[:8]), address(sum[8:16])
}

// Addresses returns where another machine reaches this router, as host:port: at those of the addresses that are
// listened on, and for 0.0.0.0 and [::] at the host's own, of which these are all. Of these only the best are
// returned, at most MaxRemotes: those that are good in the whole Internet, else private ones, else those in own networks of the
// router, to which the tunnel leads.
func Addresses(listen []netip.AddrPort, host []netip.Addr, own []netip.Prefix) ([]string, error) {
	var all []netip.AddrPort
	for _, at := range listen {
		if !at.Addr().IsUnspecified() {
			if reachable(at.Addr()) {
				all = append(all, at)
			}
			continue
		}
		for _, a := range host {
			if a = a.Unmap(); reachable(a) && a.Is4() == at.Addr().Is4() {
				all = append(all, netip.AddrPortFrom(a, at.Port()))
			}
		}
	}
	rank := func(at netip.AddrPort) int {
		switch {
		case slices.ContainsFunc(own, func(p netip.Prefix) bool { return p.Bits() > 0 && p.Contains(at.Addr()) }):
			return 2
		case at.Addr().IsPrivate():
			return 1
		}
		return 0
	}
	slices.SortStableFunc(all, func(a, b netip.AddrPort) int { return cmp.Compare(rank(a), rank(b)) })
	var out []string
	for _, at := range all {
		if s := at.String(); rank(at) == rank(all[0]) && !slices.Contains(out, s) && len(out) < MaxRemotes {
			out = append(out, s)
		}
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("of the addresses that are listened on, %s, another machine can reach none: say with --remote HOST:PORT where this router is reached", listen)
	}
	return out, nil
}

// reachable reports whether another machine may reach an address without further help.
func reachable(a netip.Addr) bool {
	return a.IsGlobalUnicast() && !a.Is4In6() && a.Zone() == ""
}

// interfaceFor returns a name for the tunnel's interface: "" if the peer's will do. taken are those that there are.
func interfaceFor(peer string, taken func(string) bool) string {
	if config.ParseInterface(peer) == nil && !taken(peer) {
		return ""
	}
	base := peer[:min(len(peer), 12)]
	for n := 1; ; n++ {
		if name := base + "-" + strconv.Itoa(n); config.ParseInterface(name) == nil && !taken(name) {
			return name
		}
		if n == 99 {
			base = "warren" // the name itself cannot be one
		}
	}
}
