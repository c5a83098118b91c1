package link

import "net/netip"

// Host is an address of this machine.
type Host struct {
	Addr      netip.Addr   // without a zone
	Subnet    netip.Prefix // masked; the far end's on a point-to-point address
	Interface string       // its name
}

// Hosts returns the addresses that packets of this machine may be sent from for as
// long as the configuration stays as it is, sorted by their subnets: of interfaces
// that are up, without those of a VRF, of host scope, that duplicate address
// detection has not passed yet, and that are deprecated or temporary (RFC 8981).
func (w *Watcher) Hosts() []Host { return w.snapshot().hosts() }

func (s *snapshot) hosts() (out []Host) {
	for _, a := range s.addresses {
		if i := s.interfaces[a.index]; a.lasting && i.up && !i.vrf && a.host.IsValid() {
			out = append(out, Host{Addr: a.host, Subnet: a.subnet, Interface: i.name})
		}
	}
	return out
}
