package topo

import "context"

// The addresses of TwoSites. Each LAN is 10.N.0.0/24 and 2001:db8:N::/64 with
// its router at .1 and its host at .10; each underlay link is a /30 and a /64.
const (
	UnderlayA4, UnderlayA6 = "198.51.100.2", "2001:db8:ffff:a::2"
	UnderlayB4, UnderlayB6 = "198.51.100.6", "2001:db8:ffff:b::2"
	GatewayA4, GatewayA6   = "198.51.100.1", "2001:db8:ffff:a::1"
	GatewayB4, GatewayB6   = "198.51.100.5", "2001:db8:ffff:b::1"
	LANA4, LANA6           = "10.1.0.10", "2001:db8:1::10"
	LANB4, LANB6           = "10.2.0.10", "2001:db8:2::10"
)

// TwoSites is the usual picture:
//
//	lan-a ──lan0─ site-a ─wan0─── inet ───wan0─ site-b ─lan0── lan-b
//
// inet is the underlay. It knows nothing of the LANs, so that what passes
// between them passes through a tunnel. Interfaces of inet are to-a and to-b, those of
// the LAN hosts eth0. Sites and LAN hosts have default routes of both families.
type TwoSites struct {
	*Topology
	SiteA, SiteB, Inet, LanA, LanB *Host
	WanA, WanB                     *Link // A is the site, B the underlay
	NetA, NetB                     *Link // A is the site, B the LAN host
}

// AddTwoSites builds the picture in an empty topology. Options go to the two sites.
func AddTwoSites(ctx context.Context, t *Topology, opts ...HostOption) (*TwoSites, error) {
	s := &TwoSites{Topology: t}
	router := append([]HostOption{Forwarding()}, opts...)
	for _, h := range []struct {
		host **Host
		name string
		opts []HostOption
	}{
		{&s.SiteA, "site-a", router}, {&s.SiteB, "site-b", router},
		{&s.Inet, "inet", []HostOption{Forwarding()}},
		{&s.LanA, "lan-a", nil}, {&s.LanB, "lan-b", nil},
	} {
		var err error
		if *h.host, err = t.Host(ctx, h.name, h.opts...); err != nil {
			return nil, err
		}
	}
	if err := s.connect(ctx); err != nil {
		return nil, err
	}
	return s, s.route(ctx)
}

func (s *TwoSites) connect(ctx context.Context) error {
	for _, l := range []struct {
		link   **Link
		a      *Host
		ifA    string
		addrsA []string
		b      *Host
		ifB    string
		addrsB []string
	}{
		{&s.WanA, s.SiteA, "wan0", []string{UnderlayA4 + "/30", UnderlayA6 + "/64"},
			s.Inet, "to-a", []string{GatewayA4 + "/30", GatewayA6 + "/64"}},
		{&s.WanB, s.SiteB, "wan0", []string{UnderlayB4 + "/30", UnderlayB6 + "/64"},
			s.Inet, "to-b", []string{GatewayB4 + "/30", GatewayB6 + "/64"}},
		{&s.NetA, s.SiteA, "lan0", []string{"10.1.0.1/24", "2001:db8:1::1/64"},
			s.LanA, "eth0", []string{LANA4 + "/24", LANA6 + "/64"}},
		{&s.NetB, s.SiteB, "lan0", []string{"10.2.0.1/24", "2001:db8:2::1/64"},
			s.LanB, "eth0", []string{LANB4 + "/24", LANB6 + "/64"}},
	} {
		var err error
		if *l.link, err = s.Connect(ctx, l.a, l.ifA, l.addrsA, l.b, l.ifB, l.addrsB); err != nil {
			return err
		}
	}
	return nil
}

func (s *TwoSites) route(ctx context.Context) error {
	for _, r := range []struct {
		host   *Host
		v4, v6 string
	}{
		{s.SiteA, GatewayA4, GatewayA6}, {s.SiteB, GatewayB4, GatewayB6},
		{s.LanA, "10.1.0.1", "2001:db8:1::1"}, {s.LanB, "10.2.0.1", "2001:db8:2::1"},
	} {
		if err := r.host.Route(ctx, "0.0.0.0/0", r.v4); err != nil {
			return err
		}
		if err := r.host.Route(ctx, "::/0", r.v6); err != nil {
			return err
		}
	}
	return nil
}
