package agent

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"warren/bgp"
	"warren/internal/config"
	"warren/martian"
)

// Filters returns what a peer's import and export come to, a line for each thing: what is said, what is
// default, and what holds whatever they say. The config has the peer.
func Filters(cfg *config.Config, peer string) ([]string, error) {
	host, err := thisHost()
	if err != nil {
		return nil, err
	}
	return filtersText(cfg, peer, connectedTo(cfg, host)), nil
}

// connectedTo returns the prefixes of a host's interfaces that are none of its tunnels.
func connectedTo(cfg *config.Config, host config.Host) (all []netip.Prefix) {
	tunnels := map[string]bool{}
	for _, p := range cfg.Peers {
		for _, t := range p.Tunnels {
			tunnels[t.Interface] = true
		}
	}
	for _, i := range host.Interfaces {
		for _, a := range i.Addresses {
			if !i.Tunnel && !tunnels[i.Name] && !martian.Is(a.Masked()) && !slices.Contains(all, a.Masked()) {
				all = append(all, a.Masked())
			}
		}
	}
	slices.SortFunc(all, comparePrefix)
	return all
}

// filterTexts collects the lines.
type filterTexts struct {
	cfg       *config.Config
	peer      *config.Peer
	connected []netip.Prefix
	lines     []string
}

func filtersText(cfg *config.Config, peer string, connected []netip.Prefix) []string {
	i := slices.IndexFunc(cfg.Peers, func(p config.Peer) bool { return p.Name == peer })
	f := &filterTexts{cfg: cfg, peer: &cfg.Peers[i], connected: connected}
	f.imports()
	f.exports()
	f.nowhere()
	return f.lines
}

func (f *filterTexts) add(what, format string, args ...any) {
	f.lines = append(f.lines, fmt.Sprintf("  %-9s %s", what, fmt.Sprintf(format, args...)))
}

// by says where a key of the peer's [bgp] is written, or that it is not.
func (f *filterTexts) by(name string) string {
	where := f.cfg.Where(f.peer.Name, name)
	if where == "" {
		return name + ", by default"
	}
	return f.from(where, name)
}

// from names a key with the place of it, or of an element of it.
func (f *filterTexts) from(where, name string) string {
	if t := f.cfg.TemplateWith(f.peer.Name, name); t != "" {
		return where + " " + name + ", of template " + t
	}
	return where + " " + name
}

// own are the networks and connected prefixes of this router.
func (f *filterTexts) own() []netip.Prefix { return announced(f.cfg.Announce.Networks, f.connected) }

func (f *filterTexts) imports() {
	b, asn := f.peer.BGP, f.cfg.ASN
	f.lines = append(f.lines, fmt.Sprintf("import: what is accepted from %s (AS %d)", f.peer.Name, b.ASN))
	f.add("never", "martians: %s", prefixesText(martian.Prefixes()))
	for _, n := range f.cfg.Announce.Networks {
		f.add("never", "%s, which this router announces (%s)", n, key(f.cfg.WhereNetwork(n), "networks"))
	}
	if f.connected == nil {
		f.add("never", "what is connected to this host")
	} else {
		f.add("never", "what is connected to this host, now: %s", prefixesText(f.connected))
	}
	f.add("never", "addresses of tunnels and of gateways, and what would take their traffic")
	policy := policy(b.Import)
	for _, w := range f.cfg.WrittenFilters(f.peer.Name, "import") {
		f.add("accepted", "%s (%s)", f.importText(w.Text), f.from(w.Where, "import"))
	}
	if policy.Any || policy.Default || len(policy.Prefixes) > 0 {
		f.add("refused", "everything else")
	} else {
		f.add("refused", "everything (%s)", f.by("import"))
	}
	f.add("refused", "what comes past %d prefixes of a family (%s); past %d that the peer announces the session ends (%s)",
		b.MaxPrefixes, f.by("max_prefixes"), b.HardMaxPrefixes, f.by("hard_max_prefixes"))
	if b.AllowOwnAS == 0 {
		f.add("refused", "what has AS %d, this router's, in its path (%s)", asn, f.by("allow_own_as"))
	} else {
		f.add("refused", "what has AS %d, this router's, more than %s in its path (%s)", asn, timesText(b.AllowOwnAS), f.by("allow_own_as"))
	}
}

// importText is an element of import, with what its prefixes are that are accepted.
func (f *filterTexts) importText(text string) string {
	switch text {
	case "any":
		return "any: every prefix of /8 to /32 and, of IPv6, of /16 to /128" + f.butInside(netip.Prefix{}, f.own())
	case "default":
		return "default: 0.0.0.0/0 and ::/0"
	}
	for _, p := range policy(f.peer.BGP.Import).Prefixes {
		if c := (config.PrefixFilter{Prefix: p.Prefix, Ge: p.Ge, Le: p.Le}); sameFilter(text, c) {
			least, most := p.Lengths()
			return text + lengthsText(p.Prefix, least, most) + f.butInside(p.Prefix, f.own())
		}
	}
	return text
}

// sameFilter reports whether a filter was written so.
func sameFilter(text string, f config.PrefixFilter) bool {
	parsed, err := config.ParseFilter(text)
	return err == nil && parsed == f
}

// butInside says what of a filter is not accepted as it is inside something of this router's own, and what is
// although it is. The zero prefix stands for "any".
func (f *filterTexts) butInside(filter netip.Prefix, own []netip.Prefix) string {
	var not, though []string
	policy := bgp.Policy{Any: !filter.IsValid()}
	if filter.IsValid() {
		policy.Prefixes = []bgp.Filter{{Prefix: filter, Ge: filter.Bits(), Le: filter.Addr().BitLen()}}
	}
	prot := bgp.NewProtected(own, nil)
	for _, o := range own {
		if o.IsSingleIP() || filter.IsValid() && !o.Overlaps(filter) {
			continue
		}
		// A part of both, as it would be announced.
		part := o
		if filter.IsValid() && filter.Bits() > o.Bits() {
			part = filter
		}
		if part == o {
			part = netip.PrefixFrom(o.Addr(), o.Bits()+1)
		}
		if ok, why := policy.Accepts(part, prot); !ok && why.Kind == bgp.ReasonInside {
			not = append(not, o.String())
		} else if ok && filter.IsValid() {
			though = append(though, o.String())
		}
	}
	text := ""
	if len(not) > 0 {
		text += ", but nothing inside " + few(not)
	}
	if len(though) > 0 {
		text += ", although that is inside " + few(though)
	}
	return text
}

func (f *filterTexts) exports() {
	b, local := f.peer.BGP, f.cfg.ASN == f.peer.BGP.ASN
	f.lines = append(f.lines, "export: what "+f.peer.Name+" is told")
	f.add("never", "martians, what is learned from this peer, and what has NO_ADVERTISE")
	written := f.cfg.WrittenFilters(f.peer.Name, "export")
	for _, w := range written {
		f.add("told", "%s (%s)", f.exportText(w.Text), f.from(w.Where, "export"))
	}
	switch {
	case b.Export.Own && len(written) == 0:
		f.add("told", "%s (%s)", f.exportText("own"), f.by("export"))
	case len(written) == 0:
		f.add("not told", "anything (%s)", f.by("export"))
		return
	}
	f.add("not told", "anything else")
	switch {
	case local && !b.RouteReflectorClient:
		f.add("not told", "what is learned from other peers in AS %d, unless they are clients (%s)", b.ASN, f.by("route_reflector_client"))
	case !local && !b.ASOverride:
		f.add("not told", "what is learned from other peers in AS %d (%s)", b.ASN, f.by("as_override"))
	}
	if !local {
		f.add("not told", "what has NO_EXPORT")
	}
}

// exportText is an element of export, with what it stands for.
func (f *filterTexts) exportText(text string) string {
	switch text {
	case "own":
		a := f.cfg.Announce
		parts := make([]string, 0, len(a.Networks)+3)
		for _, n := range a.Networks {
			parts = append(parts, fmt.Sprintf("%s (%s)", n, key(f.cfg.WhereNetwork(n), "networks")))
		}
		if r := a.Redistribute; r != (config.Redistribute{}) {
			var kinds []string
			for _, k := range []struct {
				on   bool
				name string
			}{{r.Connected, "connected"}, {r.Static, "static"}, {r.Kernel, "kernel"}} {
				if k.on {
					kinds = append(kinds, k.name)
				}
			}
			parts = append(parts, fmt.Sprintf("%s prefixes of interfaces %s (%s)", strings.Join(kinds, ", "), strings.Join(a.Interfaces, ", "),
				key(f.cfg.WhereRedistribute(), "redistribute")))
		}
		if len(parts) == 0 {
			return "own: nothing is announced, as [announce] has neither networks nor redistribute"
		}
		return "own: " + strings.Join(parts, ", ")
	case "any":
		return "any: everything that is learned or announced, but for the default route"
	case "default":
		return "default: 0.0.0.0/0 and ::/0, if there is a route"
	}
	if p, err := config.ParseFilter(text); err == nil {
		return text + lengthsText(p.Prefix, p.Ge, p.Le)
	}
	return text
}

// nowhere is about what does not take another way while the peer is gone.
func (f *filterTexts) nowhere() {
	b := f.peer.BGP
	if !b.KeepLearned && len(b.Unreachable) == 0 {
		return
	}
	f.lines = append(f.lines, "unreachable: what takes no other way while "+f.peer.Name+" is gone")
	if b.KeepLearned {
		f.add("kept", "what was learned from it (%s)", f.by("unreachable"))
	}
	if len(b.Unreachable) > 0 {
		f.add("always", "%s (%s)", prefixesText(b.Unreachable), f.by("unreachable"))
	}
}

// lengthsText says which lengths a filter takes, unless it is one.
func lengthsText(p netip.Prefix, least, most int) string {
	if least == most && least == p.Bits() {
		return ": that prefix alone"
	}
	if least == most {
		return fmt.Sprintf(": prefixes of /%d", least)
	}
	return fmt.Sprintf(": prefixes of /%d to /%d", least, most)
}

func timesText(n int) string {
	if n == 1 {
		return "once"
	}
	return fmt.Sprintf("%d times", n)
}

// prefixesText lists prefixes, the first of many.
func prefixesText(all []netip.Prefix) string {
	const most = 12
	texts := make([]string, 0, most+1)
	for _, p := range all[:min(len(all), most)] {
		texts = append(texts, p.String())
	}
	if len(all) > most {
		texts = append(texts, fmt.Sprintf("and %d more", len(all)-most))
	}
	return strings.Join(texts, ", ")
}
