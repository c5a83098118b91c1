package topo

import (
	"context"
	"errors"
	"fmt"
	"net/netip"

	"warren/lab/path"
)

// Link is a veth pair between two hosts. Its MTU is 1500.
type Link struct {
	A, B *Iface

	path *path.Path // that it has by Path; nil: none
}

// Iface is one end of a Link.
type Iface struct {
	Host  *Host
	Name  string
	Addrs []netip.Prefix
}

// Connect joins two hosts with a veth pair, gives each end its addresses
// (ADDRESS/LENGTH) and sets both up.
func (t *Topology) Connect(ctx context.Context, a *Host, ifA string, addrsA []string,
	b *Host, ifB string, addrsB []string) (*Link, error) {
	endA, err := newIface(a, ifA, addrsA)
	if err != nil {
		return nil, err
	}
	endB, err := newIface(b, ifB, addrsB)
	if err != nil {
		return nil, err
	}
	err = a.IP(ctx, fmt.Sprintf("link add %s type veth peer name %s netns %s", ifA, ifB, b.Netns))
	if err != nil {
		return nil, err
	}
	l := &Link{A: endA, B: endB}
	return l, l.up(ctx)
}

func newIface(h *Host, name string, addrs []string) (*Iface, error) {
	i := &Iface{Host: h, Name: name}
	for _, s := range addrs {
		p, err := netip.ParsePrefix(s)
		if err != nil {
			return nil, fmt.Errorf("topo: address of %s on %s: %w", name, h.Name, err)
		}
		i.Addrs = append(i.Addrs, p)
	}
	return i, nil
}

// Cut sets the B end down: A loses its carrier, B its routes through the link.
func (l *Link) Cut(ctx context.Context) error { return l.B.Down(ctx) }

// Blackhole drops everything in both directions, ARP included, while both ends
// keep their carrier: a failure that no interface tells of.
func (l *Link) Blackhole(ctx context.Context) error {
	return errors.Join(l.A.Blackhole(ctx), l.B.Blackhole(ctx))
}

// Heal undoes Cut and Blackhole. It does nothing to a link that is whole.
func (l *Link) Heal(ctx context.Context) error {
	return errors.Join(l.A.Pass(ctx), l.B.Pass(ctx), l.up(ctx))
}

// up sets both ends up before it restores routes: a route through an end
// without a carrier may be refused.
func (l *Link) up(ctx context.Context) error {
	if err := l.A.Up(ctx); err != nil {
		return err
	}
	if err := l.B.Up(ctx); err != nil {
		return err
	}
	return errors.Join(l.A.Host.restoreRoutes(ctx), l.B.Host.restoreRoutes(ctx))
}

// Down sets the interface down. The kernel drops the host's routes through it,
// and the other end loses its carrier.
func (i *Iface) Down(ctx context.Context) error {
	return i.Host.IP(ctx, "link set dev "+i.Name+" down")
}

// Up sets the interface up and gives it its addresses, but not the routes that
// Down has cost: Link.Heal puts those back.
func (i *Iface) Up(ctx context.Context) error {
	lines := []string{"link set dev " + i.Name + " up"}
	for _, p := range i.Addrs {
		line := fmt.Sprintf("address replace %s dev %s", p, i.Name)
		if p.Addr().Is6() {
			line += " nodad"
		}
		lines = append(lines, line)
	}
	return i.Host.IP(ctx, lines...)
}

// Blackhole drops every frame that arrives at this end; what it sends still arrives.
func (i *Iface) Blackhole(ctx context.Context) error {
	if err := i.Pass(ctx); err != nil {
		return err
	}
	return i.Host.nft(ctx, fmt.Sprintf(`
		table netdev topo-%[1]s {
			chain ingress {
				type filter hook ingress device "%[1]s" priority -500; policy drop;
			}
		}`, i.Name))
}

// Pass undoes Blackhole. It does nothing if there is nothing to undo.
func (i *Iface) Pass(ctx context.Context) error {
	table := "netdev topo-" + i.Name
	// nft deletes only what exists, so make it first; both are one transaction.
	return i.Host.nft(ctx, "add table "+table+"; delete table "+table+"\n")
}

// restoreRoutes puts back the routes that an interface has lost by being down.
func (h *Host) restoreRoutes(ctx context.Context) error {
	h.mu.Lock()
	routes := append([]string(nil), h.routes...)
	h.mu.Unlock()
	var errs []error
	for _, r := range routes {
		// One through another interface that is down stays away, as it should.
		if err := h.IP(ctx, r); err != nil && ctx.Err() != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}
