package config

import (
	"fmt"
	"slices"
	"strings"
)

const (
	defaultMaxPrefixes = 1000
	maxAllowOwnAS      = 10
)

// peerBGP makes a PeerBGP of what a peer's file says.
func (l *loader) peerBGP(raw *rawPeerBGP) PeerBGP {
	b := PeerBGP{
		ASN:         l.asn(raw.ASN),
		Export:      Policy{Own: true},
		MaxPrefixes: int(l.number(raw.MaxPrefixes, defaultMaxPrefixes, 1, 1<<31-1)),
	}
	b.HardMaxPrefixes = l.hardMaxPrefixes(raw.HardMaxPrefixes, b.MaxPrefixes)
	// RFC 8212: without a policy nothing is to be accepted. It is asked for
	// here, so that an empty one is seen to be meant.
	switch raw.Import.state {
	case absent:
		l.fail(raw.Import.place, `is required: what to accept from the peer, such as ["10.2.0.0/16 le 24"]; [] accepts nothing, ["any"] all but a default route and what is shorter than /8 (IPv6 /16)`)
	case given:
		b.Import = l.policy(raw.Import, false)
	}
	if raw.Export.state == given {
		b.Export = l.policy(raw.Export, true)
	}
	b.RouteReflectorClient, b.ASOverride = raw.RouteReflectorClient.v, raw.ASOverride.v
	b.AllowOwnAS = int(l.number(raw.AllowOwnAS, 0, 0, maxAllowOwnAS))
	b.KeepLearned = raw.Unreachable.v.yes
	for _, e := range raw.Unreachable.v.list {
		p, err := parsePrefix(e.text)
		switch {
		case err != nil:
			l.failElement(raw.Unreachable.place, e, err)
		case slices.Contains(b.Unreachable, p):
			l.failElement(raw.Unreachable.place, e, errTwice)
		default:
			b.Unreachable = append(b.Unreachable, p)
		}
	}
	return b
}

// setCluster sets what the peer's side of BGP has of the router's, and checks what depends on
// whether the two are in one AS.
func (l *loader) setCluster(cfg *Config, d draft) {
	b, raw := &d.peer.BGP, &d.raw.BGP
	if cfg.ASN == 0 || b.ASN == 0 {
		return // has been said
	}
	internal := b.ASN == cfg.ASN
	if internal {
		b.ClusterID = cfg.BGP.ClusterID
	}
	if b.RouteReflectorClient && !internal {
		l.fail(raw.RouteReflectorClient.place, "is for a peer in this router's own AS %d, and this one is in AS %d: "+
			"to pass prefixes on between peers of one other AS take as_override", cfg.ASN, b.ASN)
	}
	if b.ASOverride && internal {
		l.fail(raw.ASOverride.place, "is for a peer in another AS, and this one is in this router's own AS %d: "+
			"to pass prefixes on between peers of it take route_reflector_client", cfg.ASN)
	}
}

// hardMaxPrefixes is twice max_prefixes and at least 1000 more, or what the file
// says. The difference is room for prefixes that are refused one by one.
func (l *loader) hardMaxPrefixes(v value[int64], maxPrefixes int) int {
	const room, most = 1000, 1<<31 - 1
	least := int64(maxPrefixes)
	return int(l.number(v, min(max(2*least, least+room), most), least, most))
}

// policy reads a list of filters.
func (l *loader) policy(v value[list], export bool) Policy {
	words := `"any", "default"`
	if export {
		words += `, "own"`
	}
	var p Policy
	for _, e := range v.v {
		var flag *bool
		switch e.text {
		case "any":
			flag = &p.Any
		case "default":
			flag = &p.Default
		case "own":
			if !export {
				l.failElement(v.place, e, fmt.Errorf("cannot be imported; allowed are %s and %s", words, filterForm))
				continue
			}
			flag = &p.Own
		}
		if flag != nil {
			*flag = true
			continue
		}
		f, err := parseFilter(e.text)
		switch {
		case err != nil && !strings.ContainsAny(e.text, ".:/"):
			l.failElement(v.place, e, fmt.Errorf("is not a filter; allowed are %s and %s", words, filterForm))
			continue
		case err != nil:
			l.failElement(v.place, e, err)
			continue
		}
		p.Prefixes = append(p.Prefixes, f)
	}
	return p
}
