package underlay

import (
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// answerWait bounds how long a dialer waits for its return path. The rule
// takes milliseconds; a guard that is stopping must not hold a dialer up.
const answerWait = time.Second

// maxReturns bounds the return paths of remotes: names that resolve to ever new addresses
// must not add rules for ever. The oldest go. Listeners do not count, and stay.
const maxReturns = 512

// A returnPath is traffic whose answers strict reverse path filtering would
// drop: either all that goes to one remote address, or all that leaves from
// one local port.
type returnPath struct {
	remote  netip.Addr // IPv4, or invalid
	local   netip.Addr // of the port: IPv4; invalid: any. Another program may have the port at another address
	port    uint16     // with an invalid remote
	ipProto uint8      // with port: IPPROTO_TCP or IPPROTO_UDP
}

// addrPortOf reads the address that package net gives a Control function, which is ":port" where a listener was asked
// for without a host (net.UDPAddr.String): the same as an unspecified address. It is not of IP where ok is false.
func addrPortOf(address string) (ap netip.AddrPort, ok bool) {
	if strings.HasPrefix(address, ":") {
		address = "[::]" + address
	}
	ap, err := netip.ParseAddrPort(address)
	return ap, err == nil
}

// returnPathOf reads the arguments of a Control function: for a dialer the
// address is the remote's, for a listener an unspecified or a local one.
func returnPathOf(network, address string, local func(netip.Addr) bool) (returnPath, bool) {
	ap, ok := addrPortOf(address)
	if !ok {
		return returnPath{}, false
	}
	addr := ap.Addr().Unmap()
	if addr.Is6() && !addr.IsUnspecified() { // IPv6 has no reverse path filter
		return returnPath{}, false
	}
	if !addr.IsUnspecified() && !local(addr) {
		return returnPath{remote: addr}, true
	}
	if ap.Port() == 0 { // the kernel picks one later: not a listener anyone could find
		return returnPath{}, false
	}
	p := returnPath{local: anyIsNone(addr), port: ap.Port(), ipProto: unix.IPPROTO_TCP}
	if strings.HasPrefix(network, "udp") {
		p.ipProto = unix.IPPROTO_UDP
	}
	return p, true
}

// anyIsNone returns a local address as returnPath has it.
func anyIsNone(addr netip.Addr) netip.Addr {
	if addr.IsUnspecified() {
		return netip.Addr{}
	}
	return addr
}

// expectAnswers remembers the return path of a socket that is about to be
// used and, if there is a strict filter, waits until the path is in place.
func (g *Guard) expectAnswers(network, address string) {
	p, ok := returnPathOf(network, address, isLocal)
	if !ok {
		return
	}
	known, strict, applied := g.remember(p)
	if known {
		return
	}
	g.markDirty(dirtyRules)
	if !strict {
		return
	}
	select {
	case <-applied:
	case <-time.After(answerWait):
	}
}

// listens remembers a port of ours, as the end of a transport's packets and as a return path.
func (g *Guard) listens(ipProto uint8, local netip.AddrPort) {
	if local.Port() == 0 {
		return
	}
	g.outer.add(end{ipProto: ipProto, port: local.Port()})
	addr := anyIsNone(local.Addr().Unmap())
	if addr.Is6() { // IPv6 has no reverse path filter
		return
	}
	if local.Port() == portWithoutRule {
		g.log.Warn("with rp_filter what arrives for this port may be dropped where a learned route covers the sender, as the kernel has no rules for it: "+
			"listen on another port", "port", local.Port())
	}
	if known, _, _ := g.remember(returnPath{local: addr, port: local.Port(), ipProto: ipProto}); !known {
		g.markDirty(dirtyRules)
	}
}

// forget is the opposite of listens.
func (g *Guard) forget(ipProto uint8, port uint16) {
	g.outer.remove(end{ipProto: ipProto, port: port})
	g.mu.Lock()
	before := len(g.returns)
	p := returnPath{port: port, ipProto: ipProto}
	g.returns = slices.DeleteFunc(g.returns, func(r returnPath) bool { return r == p })
	gone := len(g.returns) < before
	g.mu.Unlock()
	if gone {
		g.markDirty(dirtyRules)
	}
}

// remember makes p the latest of the return paths.
func (g *Guard) remember(p returnPath) (known, strict bool, applied <-chan struct{}) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if i := slices.Index(g.returns, p); i >= 0 {
		g.returns = append(slices.Delete(g.returns, i, i+1), p)
		return true, g.strict, g.applied
	}
	if p.remote.IsValid() {
		g.forgetOldestRemote()
	}
	g.returns = append(g.returns, p)
	return false, g.strict, g.applied
}

// forgetOldestRemote makes room for another one. mu is held.
func (g *Guard) forgetOldestRemote() {
	oldest, remotes := -1, 0
	for i, r := range g.returns {
		if r.remote.IsValid() {
			if remotes++; oldest < 0 {
				oldest = i
			}
		}
	}
	if remotes >= maxReturns {
		g.returns = slices.Delete(g.returns, oldest, oldest+1)
	}
}

// isLocal says whether a is an address of this machine. Errors count as no:
// a rule for a remote that is local has no effect.
func isLocal(a netip.Addr) bool {
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return false
	}
	for _, ia := range addrs {
		if p, err := netip.ParsePrefix(ia.String()); err == nil && p.Addr().Unmap() == a {
			return true
		}
	}
	return false
}
