package agent

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"

	"warren/internal/config"
	"warren/internal/link"
)

// Some interfaces go on without this process when `warren restart` replaces it, and without descriptors that could be handed
// over: those that other programs have made, and those of the kernel's WireGuard. What the next daemon is to know of them is
// left to it by attachment.

// leftStanding is that of one interface.
type leftStanding struct {
	Interface string         `json:"interface"` // its name
	Index     int            `json:"index"`
	Added     []netip.Prefix `json:"added,omitempty"` // addresses of ours on an interface that another program has made
	Port      uint16         `json:"port,omitempty"`  // of UDP, that the kernel's WireGuard uses
}

// standingTunnel is a tunnel over such an interface.
type standingTunnel interface {
	// stand says what the next daemon is to know. Until carry the tunnel adds no address.
	stand() leftStanding
	carry()
}

// standing returns what is to be known of all such interfaces, be their tunnels up or not.
func (l *loop) standing() map[string]leftStanding {
	all := map[string]leftStanding{}
	for id, h := range l.handles.tunnels {
		t, ok := h.tunnelHandle.(standingTunnel)
		if a := l.m.tunnels[id]; ok && a != nil {
			all[a.name] = t.stand()
		}
	}
	return all
}

// takeStanding returns what was left of the interface of an attachment, which is the caller's to see to then; the zero
// value: nothing.
func (o *leftovers) takeStanding(name string) leftStanding {
	if o == nil {
		return leftStanding{}
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	defer delete(o.standing, name)
	return o.standing[name]
}

// dropStanding takes the addresses away that were added to interfaces that no tunnel has taken.
func (o *leftovers) dropStanding() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.dropStandingLocked()
}

func (o *leftovers) dropStandingLocked() error {
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(o.standing)) {
		was := o.standing[name]
		if err := takeBack(was.Index, was.Added); err != nil {
			errs = append(errs, fmt.Errorf("an address of ours stays on interface %s: %w", was.Interface, err))
		}
	}
	clear(o.standing)
	return errors.Join(errs...)
}

// takeBack takes addresses away that were added to an interface, by its index: it may have got another name since. With an
// interface that is gone they are too.
func takeBack(index int, added []netip.Prefix) error {
	if len(added) == 0 {
		return nil
	}
	name, err := link.Name(index)
	if err == nil {
		err = link.RemoveAddresses(name, added)
	}
	if errors.Is(err, link.ErrNotFound) {
		return nil
	}
	return err
}

// expecting is what the guard is told before it begins.
type expecting interface {
	SetTunnels(names []string)
	SetUnreachable(some bool)
	ListensTCP(local netip.AddrPort)
	ListensUDP(port uint16)
}

// expect has the guard know, before it takes over the rules of the daemon before, what that one knew and the config still
// has: the tunnels, and the ports that sockets were left of. Else it would remove rules that are needed again a moment later.
func (n *left) expect(cfg *config.Config, g expecting) {
	var names []string
	kernel := map[string]bool{}
	for _, p := range cfg.Peers {
		for _, t := range p.Tunnels {
			names = append(names, t.Interface)
			kernel[t.Interface] = kernel[t.Interface] || t.Datapath == config.DatapathKernel
		}
	}
	for i := range n.Tunnels { // of peers too that are not configured by name
		if name := n.Tunnels[i].Device.Name; !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	g.SetTunnels(names)
	g.SetUnreachable(n.Unreachable)
	for _, a := range cfg.TLS.Listen {
		if n.TLS != nil && hasKey(n.TLS.Listeners, a) {
			g.ListensTCP(a)
		}
	}
	if n.WireGuard != nil {
		for _, s := range n.WireGuard.Sockets {
			usual := !s.Spare && (cfg.WireGuard.ListenPort == 0 || cfg.WireGuard.ListenPort == s.Port)
			if usual || s.Spare && n.leavesBy(s.Port) {
				g.ListensUDP(s.Port)
			}
		}
	}
	for _, was := range n.Standing {
		if kernel[was.Interface] {
			g.ListensUDP(was.Port)
		}
	}
}

// leavesBy reports whether the packets of a tunnel left by spare sockets of that port.
func (n *left) leavesBy(port uint16) bool {
	return slices.ContainsFunc(n.Tunnels, func(t leftTunnel) bool { return t.WireGuard != nil && t.WireGuard.Port == port })
}

func hasKey[K comparable, V any](m map[K]V, key K) bool { _, has := m[key]; return has }
