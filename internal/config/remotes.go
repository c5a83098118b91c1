package config

import (
	"fmt"
	"net/netip"
	"slices"
	"time"
)

// The limits of Tunnel.ConnectTimeout.
const (
	defaultConnectTimeout = 2 * time.Second
	minConnectTimeout     = 100 * time.Millisecond
	maxConnectTimeout     = time.Minute
)

// remotes reads endpoints to dial. Of a link-local one, an underlay says on which link it is.
func (l *loader) remotes(v value[list], usual string, underlay bool) []Remote {
	var remotes []Remote
	for _, e := range v.v {
		r, err := parseRemote(e.text, usual)
		if a, _ := netip.ParseAddr(r.Host); err == nil && a.Is6() && a.IsLinkLocalUnicast() && a.Zone() == "" && !underlay {
			err = fmt.Errorf("is a link-local address: name its interface, as in [%s%%eth0]:%d, or set underlay", r.Host, r.Port)
		}
		if err != nil {
			l.failElement(v.place, e, err)
		} else if slices.Contains(remotes, r) {
			l.failElement(v.place, e, errTwice)
		} else {
			remotes = append(remotes, r)
		}
	}
	return remotes
}

func (l *loader) remoteOrder(v value[string]) string {
	switch {
	case v.state != given || v.v == RemotesListed:
	case v.v == RemotesRandom:
		return RemotesRandom
	default:
		l.fail(v.place, "%q is not an order; allowed are %q and %q", v.v, RemotesListed, RemotesRandom)
	}
	return RemotesListed
}
