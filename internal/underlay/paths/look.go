package paths

import (
	"cmp"
	"errors"
	"net/netip"

	"golang.org/x/sys/unix"

	"warren/internal/rtnl"
)

// kernel is the watcher's way to ask. It belongs to the goroutine of Run.
type kernel struct {
	conn *rtnl.Conn
	mark uint32
}

// sight lists interfaces and addresses. whole is false if they changed meanwhile.
func (k *kernel) sight() (s *sight, whole bool, err error) {
	s = &sight{interfaces: make(map[uint32]iface), homes: make(map[netip.Addr][]uint32)}
	cut, err := k.conn.Dump(unix.RTM_GETLINK, rtnl.LinkRequest(), func(typ uint16, m []byte) {
		l, ok := rtnl.ParseLink(m)
		if typ != unix.RTM_NEWLINK || !ok {
			return
		}
		i := iface{name: l.Name, mtu4: l.MTU, mtu6: l.MTU}
		if l.MTU6 > 0 {
			i.mtu6 = min(l.MTU, l.MTU6)
		}
		switch {
		case !l.Up:
			i.idle = down
		case !l.Carrier:
			i.idle = noCarrier
		}
		s.interfaces[l.Index] = i
	})
	if err != nil {
		return nil, false, err
	}
	cutToo, err := k.conn.Dump(unix.RTM_GETADDR, rtnl.AddressRequest(0), func(typ uint16, m []byte) {
		if a, ok := rtnl.ParseAddress(m); ok && typ == unix.RTM_NEWADDR {
			s.homes[a.Prefix.Addr()] = append(s.homes[a.Prefix.Addr()], a.Index)
		}
	})
	return s, !cut && !cutToo, err
}

// way looks up how a flow's packets leave.
func (k *kernel) way(f flow, s *sight) (w way, err error) {
	local, remote := f.local.Addr().Unmap(), f.remote.Addr().Unmap()
	l := rtnl.Lookup{
		From: local.WithZone(""), To: remote.WithZone(""), Mark: k.mark,
		IPProto: f.ipProto, FromPort: f.local.Port(), ToPort: f.remote.Port(),
	}
	w = way{known: true}
	w.homed, w.homeRuns = s.home(l.From)
	if device := cmp.Or(f.device, remote.Zone()); device != "" {
		if l.Index = s.index(device); l.Index == 0 {
			w.errno = unix.ENODEV
			return w, nil
		}
	}
	found, a, err := k.ask(l)
	if err != nil || a.Errno != 0 {
		w.errno = a.Errno
		return w, err
	}
	w.index, w.gateway = found.Index, found.Gateway
	if !local.IsValid() {
		w.source = found.Source
	}
	w.mtu = s.mtu(found, remote.Is4())
	w.name, w.idle = s.interfaces[w.index].name, s.idle(w.index)
	return w, nil
}

// ask looks a way up as the kernel does for a bound socket, if it is one: an IPv4 lookup is taken
// for one of a neighbor if there is no route, and an IPv6 one keeps to the interface only if it
// has no source (net/ipv6/route.c, ip6_route_output_flags_noref).
func (k *kernel) ask(l rtnl.Lookup) (w rtnl.Way, a rtnl.Answer, err error) {
	w, a, err = k.conn.Lookup(l)
	if err != nil || a.Errno != 0 || l.Index == 0 {
		return w, a, err
	}
	switch {
	case l.To.Is4():
		l.Routed = true
		_, a, err = k.conn.Lookup(l)
	case w.Index != l.Index:
		l.From = netip.Addr{}
		w, a, err = k.conn.Lookup(l)
	}
	return w, a, err
}

// index returns that of an interface, or 0.
func (s *sight) index(name string) uint32 {
	for index, i := range s.interfaces {
		if i.name == name {
			return index
		}
	}
	return 0
}

// isTemporary tells the errors after which one asks again.
func isTemporary(err error) bool {
	return errors.Is(err, rtnl.ErrLost) || errors.Is(err, unix.ENOBUFS) || errors.Is(err, unix.ENOMEM) || errors.Is(err, unix.EINTR)
}
