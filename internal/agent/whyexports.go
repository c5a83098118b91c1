package agent

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"warren/bgp"
	"warren/internal/config"
	"warren/internal/link"
	"warren/internal/status"
)

// exports says which peers are told the prefix, and why the others are not. A peer with several
// tunnels is told if it is over one of them.
func (x *explainer) exports() (to []string, not []status.WhyExport) {
	to, not = []string{}, []status.WhyExport{}
	for _, p := range x.cfg.Peers {
		if x.q.To != "" && x.q.To != p.Name {
			continue
		}
		told, why, session := false, status.WhyExport{}, false
		for i := range x.sides {
			s := &x.sides[i]
			if s.peer.Name != p.Name || told {
				continue
			}
			e := x.export(s)
			if told = e.Withheld == bgp.Sent; !told && !session { // the first that has a session says more
				why, session = x.withheld(e, s), e.Withheld != bgp.WithheldSession
			}
		}
		if told {
			to = append(to, p.Name)
		} else if why.Reason != "" {
			not = append(not, why)
		}
	}
	return to, not
}

// export is what the speaker says of a side, which it may not know.
func (x *explainer) export(s *side) bgp.Export {
	i := slices.IndexFunc(x.is.Exports, func(e bgp.Export) bool { return e.Neighbor == s.name })
	switch {
	case i < 0 || !s.up:
		return bgp.Export{Neighbor: s.name, Withheld: bgp.WithheldSession}
	case !x.is.Prefix.IsValid():
		return bgp.Export{Neighbor: s.name, Withheld: bgp.WithheldNothing}
	}
	return x.is.Exports[i]
}

// withheld says why a peer is not told.
func (x *explainer) withheld(e bgp.Export, s *side) status.WhyExport {
	out := status.WhyExport{Peer: s.peer.Name}
	by := func(name string) { out.By = key(x.cfg.Where(s.peer.Name, name), name) }
	switch e.Withheld {
	case bgp.WithheldSession:
		out.Reason = x.noWay(s)
	case bgp.WithheldDeferred:
		out.Reason = "after a restart nothing is announced before the peers have announced what they have (RFC 4724 section 4.1)"
	case bgp.WithheldNothing:
		out.Reason = "there is no route to announce"
	case bgp.WithheldSource:
		out.Reason = "it is learned from this peer"
	case bgp.WithheldRouterID:
		out.Reason = fmt.Sprintf("the peer has the router ID of %s, from which it is learned", x.label(e.From))
	case bgp.WithheldNoAdvertise:
		out.Reason = x.forbids("NO_ADVERTISE", "LLGR_STALE")
	case bgp.WithheldNoExport:
		out.Reason = x.forbids("NO_EXPORT", "NO_EXPORT_SUBCONFED", "BLACKHOLE")
	case bgp.WithheldNextHop:
		out.Reason = "this router has no address in the tunnel that the peer could take for the next hop of that family"
	case bgp.WithheldExport:
		out.Reason = fmt.Sprintf("export = %s does not pass it", policyText(s.peer.BGP.Export))
		by("export")
	case bgp.WithheldSameAS:
		out.Reason = fmt.Sprintf("it is learned from %s, which is in AS %d too: the peer would refuse it as a loop, as as_override is not set", x.label(e.From), s.peer.BGP.ASN)
		by("as_override")
	case bgp.WithheldInternal:
		out.Reason = fmt.Sprintf("it is learned from %s, which is in this router's own AS too: the peer is to hear it from that one itself (iBGP), as route_reflector_client is not set", x.label(e.From))
		by("route_reflector_client")
	}
	return out
}

// policyText is a policy as a peer's file has it.
func policyText(p config.Policy) string {
	words := strings.Fields(strings.Trim(bgp.Policy{Any: p.Any, Default: p.Default, Own: p.Own}.String(), "[]"))
	for i := range words {
		words[i] = strings.Trim(words[i], ",")
	}
	for _, f := range p.Prefixes {
		words = append(words, f.String())
	}
	for i, w := range words {
		words[i] = strconv.Quote(w)
	}
	return "[" + strings.Join(words, ", ") + "]"
}

// forbids says which community of the best route it is.
func (x *explainer) forbids(names ...string) string {
	for _, c := range x.is.Candidates {
		for _, name := range names {
			if c.Verdict == bgp.VerdictBest && slices.Contains(c.Communities, name) {
				return "the community " + name + " forbids it"
			}
		}
	}
	return "a community forbids it: " + strings.Join(names, ", ")
}

// kernel asks the kernel.
func (x *explainer) kernel() (k status.WhyKernel, err error) {
	k.To = x.destination().String()
	is, err := x.leads(x.destination())
	if err != nil {
		return k, err
	}
	if is.Prefix.IsValid() {
		k.Route = routeText(is)
		k.Owned = is.Protocol == x.cfg.FIB.Protocol && is.Table == x.cfg.FIB.Table
		k.Owner = protocolText(is.Protocol)
		if k.Owned {
			k.Owner = "Warren"
		}
	}
	if is.Errno == 0 {
		k.Tunnel, err = x.tunnel(is.Interface)
		return k, err
	}
	k.Text = errnoText(is.Errno)
	if k.Route == "" && is.Errno == syscall.EHOSTUNREACH && x.nowhere.IsValid() {
		k.Text, k.Owned, k.Owner = fmt.Sprintf("the unreachable route of %s takes it", x.nowhere), true, "Warren"
	}
	return k, nil
}

func errnoText(e syscall.Errno) string {
	switch e {
	case syscall.ENETUNREACH:
		return "there is no route"
	case syscall.EHOSTUNREACH:
		return "an unreachable route takes it"
	case syscall.EINVAL:
		return "a blackhole route takes it"
	case syscall.EACCES:
		return "a prohibit route takes it"
	}
	return e.Error()
}

// routeText is a route in the words of ip(8).
func routeText(l link.Leads) string {
	text := l.Prefix.String()
	if l.Prefix.Bits() == 0 {
		text = "default"
	}
	if word := typeWords[l.Type]; word != "" {
		text = word + " " + text
	}
	if l.Gateway.IsValid() {
		text += " via " + l.Gateway.String()
	}
	if l.Interface != "" {
		text += " dev " + l.Interface
	}
	text += " proto " + protocolName(l.Protocol)
	if l.Table != unix.RT_TABLE_MAIN {
		name := fmt.Sprint(l.Table)
		if l.Table == unix.RT_TABLE_LOCAL {
			name = "local"
		}
		text += " table " + name
	}
	if l.Metric != 0 {
		text += fmt.Sprintf(" metric %d", l.Metric)
	}
	return text
}

var typeWords = map[int]string{
	unix.RTN_LOCAL: "local", unix.RTN_BROADCAST: "broadcast", unix.RTN_ANYCAST: "anycast", unix.RTN_MULTICAST: "multicast",
	unix.RTN_BLACKHOLE: "blackhole", unix.RTN_UNREACHABLE: "unreachable", unix.RTN_PROHIBIT: "prohibit", unix.RTN_THROW: "throw",
}

// protocols are those of include/uapi/linux/rtnetlink.h.
var protocols = map[int]string{
	1: "redirect", 2: "kernel", 3: "boot", 4: "static", 8: "gated", 9: "ra", 10: "mrt", 11: "zebra", 12: "bird", 13: "dnrouted",
	14: "xorp", 15: "ntk", 16: "dhcp", 17: "mrouted", 18: "keepalived", 42: "babel", 99: "openr", 186: "bgp", 187: "isis", 188: "ospf",
	189: "rip", 192: "eigrp",
}

func protocolName(n int) string {
	if name := protocols[n]; name != "" {
		return name
	}
	return fmt.Sprint(n)
}

// protocolText says whose routes have a protocol.
func protocolText(n int) string {
	switch n {
	case unix.RTPROT_KERNEL:
		return "the kernel's own, of an address of this machine"
	case unix.RTPROT_BOOT:
		return "somebody's, as `ip route add` writes them (protocol boot)"
	case unix.RTPROT_STATIC:
		return "somebody's, written as static"
	case unix.RTPROT_RA:
		return "from a router advertisement"
	}
	return "that of another program (protocol " + protocolName(n) + ")"
}
