package engine

import (
	"net/netip"

	"github.com/osrg/gobgp/v4/api"
	gobgp "github.com/osrg/gobgp/v4/pkg/packet/bgp"
)

// A family is an index: IPv4 or IPv6 unicast.
type family int

const (
	ipv4 family = iota
	ipv6
)

var families4and6 = [2]family{ipv4, ipv6}

func familyOf(p netip.Prefix) family {
	if p.Addr().Is4() {
		return ipv4
	}
	return ipv6
}

func (f family) String() string { return [2]string{"ipv4", "ipv6"}[f] }

// gobgp is f as GoBGP's packet library has it.
func (f family) gobgp() gobgp.Family {
	return [2]gobgp.Family{gobgp.RF_IPv4_UC, gobgp.RF_IPv6_UC}[f]
}

// api is f as GoBGP's configuration has it.
func (f family) api() *api.Family {
	return &api.Family{
		Afi:  [2]api.Family_Afi{api.Family_AFI_IP, api.Family_AFI_IP6}[f],
		Safi: api.Family_SAFI_UNICAST,
	}
}

// everything is the prefix that covers the family: its default route.
func (f family) everything() netip.Prefix {
	return [2]netip.Prefix{netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("::/0")}[f]
}
