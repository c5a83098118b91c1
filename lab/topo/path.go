package topo

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"warren/lab/path"
)

// Path puts a path on the link, unless there is one, whose conditions are those of the link itself; Path.Set
// changes them. It ends with the topology. Its random choices follow from the seed. Nothing that is under way on the
// link gets lost; what is sent in this moment may arrive twice.
func (l *Link) Path(ctx context.Context, seed uint64) (_ *path.Path, err error) {
	if l.path != nil {
		return l.path, nil
	}
	ends := []*Iface{l.A, l.B}
	for _, i := range ends {
		// Packets are to be of the MTU on the link, as on a wire.
		if _, err := i.Host.Run(ctx, "ethtool", "-K", i.Name, "tso", "off", "tx-udp-segmentation", "off", "gro", "off"); err != nil {
			return nil, err
		}
	}
	p, err := path.Open(l.A.end(), l.B.end(), seed)
	if err != nil {
		return nil, fmt.Errorf("topo: path between %s and %s: %w", l.A.Host.Name, l.B.Host.Name, err)
	}
	l.A.Host.topology.addPath(p)
	p.Routers(path.A, addresses(l.B)...)
	p.Routers(path.B, addresses(l.A)...)
	since := time.Now()
	for _, i := range ends {
		err = errors.Join(err, i.Host.nft(ctx, fmt.Sprintf(`
		table netdev path-%[1]s {
			chain ingress {
				type filter hook ingress device "%[1]s" priority -600;
				ether saddr != %[2]s drop
			}
		}`, i.Name, path.Source)))
	}
	if err != nil {
		return nil, err
	}
	p.Run(since)
	l.path = p
	return p, nil
}

func (i *Iface) end() path.Interface {
	return path.Interface{Netns: i.Host.Netns, Name: i.Name}
}

func addresses(i *Iface) (out []netip.Addr) {
	for _, p := range i.Addrs {
		out = append(out, p.Addr())
	}
	return out
}

// End returns the end of the link that is a host's.
func (l *Link) End(h *Host) (path.End, error) {
	switch h {
	case l.A.Host:
		return path.A, nil
	case l.B.Host:
		return path.B, nil
	}
	return 0, fmt.Errorf("topo: %s is no end of the link between %s and %s", h.Name, l.A.Host.Name, l.B.Host.Name)
}

func (t *Topology) addPath(p *path.Path) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.paths = append(t.paths, p)
}
