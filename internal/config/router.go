package config

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path"
	"path/filepath"
	"slices"

	"warren/martian"
)

// The defaults of warren.toml.
const (
	defaultMetric   = 20
	maxMetric       = 4294967293 // above it is what unreachable routes have
	defaultProtocol = 186        // bgp in /etc/iproute2/rt_protos
	defaultGobgp    = "127.0.0.1:50051"
	usualHTTP       = "127.0.0.1:8179"
)

// router makes a Config, without peers, certificate and key, of warren.toml.
func (l *loader) router(raw *rawRouter) *Config {
	cfg := &Config{
		Name:      l.name(raw.Name),
		ASN:       l.asn(raw.ASN),
		RouterID:  l.routerID(raw.RouterID),
		Announce:  l.announce(&raw.Announce),
		TLS:       l.tls(&raw.TLS),
		WireGuard: l.wireguard(&raw.WireGuard),
		BGP:       l.bgp(&raw.BGP),
		FIB:       l.fib(&raw.FIB),
		API:       l.api(&raw.API),
		Log:       l.log(&raw.Log),
		History:   l.history(&raw.History),
	}
	cfg.BGP.ClusterID = cfg.RouterID
	if v := raw.BGP.ClusterID; v.state == given {
		cfg.BGP.ClusterID = l.routerIDLike(v, "cluster ID", "it must have the form of an IPv4 address, such as 10.0.0.1")
	}
	return cfg
}

func (l *loader) name(v value[string]) string {
	name := v.v
	switch v.state {
	case faulty:
		return ""
	case absent:
		var err error
		if name, err = os.Hostname(); err != nil {
			l.fail(v.place, "is absent, and the host name is not known: %v", err)
			return ""
		}
	}
	if err := checkName(name); err != nil {
		if v.state == absent {
			l.fail(v.place, "is absent, and the host name %q %v", name, err)
		} else {
			l.fail(v.place, "%q %v", name, err)
		}
	}
	return name
}

func (l *loader) asn(v value[int64]) uint32 {
	switch v.state {
	case absent:
		l.fail(v.place, "is required: an AS number; 64512 to 65534 and 4200000000 to 4294967294 are for private use")
	case given:
		if err := checkASN(v.v); err != nil {
			l.fail(v.place, "%d %v", v.v, err)
			return 0
		}
		return uint32(v.v)
	}
	return 0
}

func (l *loader) routerID(v value[string]) netip.Addr {
	const allowed = "it must be an IPv4 address that no other router among the peers has, such as 10.0.0.1"
	switch v.state {
	case absent:
		l.fail(v.place, "is required; %s", allowed)
	case given:
		return l.routerIDLike(v, "router ID", allowed)
	}
	return netip.Addr{}
}

// routerIDLike reads a number in the form of an IPv4 address.
func (l *loader) routerIDLike(v value[string], what, allowed string) netip.Addr {
	id, err := netip.ParseAddr(v.v)
	if err != nil || !id.Is4() || id.IsUnspecified() || id.IsMulticast() || id.IsLoopback() ||
		id == netip.AddrFrom4([4]byte{255, 255, 255, 255}) {
		l.fail(v.place, "%q cannot be a %s; %s", v.v, what, allowed)
		return netip.Addr{}
	}
	return id
}

func (l *loader) announce(raw *rawAnnounce) Announce {
	a := Announce{Interfaces: []string{"*"}}
	for _, e := range raw.Networks.v {
		p, err := parsePrefix(e.text)
		if err != nil {
			l.failElement(raw.Networks.place, e, err)
		} else if slices.Contains(a.Networks, p) {
			l.failElement(raw.Networks.place, e, errTwice)
		} else {
			a.Networks = append(a.Networks, p)
		}
	}
	for _, e := range raw.Redistribute.v {
		var flag *bool
		switch e.text {
		case "connected":
			flag = &a.Redistribute.Connected
		case "static":
			flag = &a.Redistribute.Static
		case "kernel":
			flag = &a.Redistribute.Kernel
		default:
			l.failElement(raw.Redistribute.place, e, errors.New("cannot be redistributed; allowed are connected, static, kernel"))
			continue
		}
		if *flag {
			l.failElement(raw.Redistribute.place, e, errTwice)
		}
		*flag = true
	}
	if raw.Interfaces.state == given {
		a.Interfaces = raw.Interfaces.v.texts()
		if len(a.Interfaces) == 0 {
			l.fail(raw.Interfaces.place, `is empty; name interfaces or patterns such as ["lan*"], or leave the key out for all`)
		}
	}
	for _, e := range raw.Interfaces.v {
		if _, err := path.Match(e.text, ""); err != nil || e.text == "" {
			l.failElement(raw.Interfaces.place, e, errors.New("is not a pattern; allowed are interface names with *, ? and [a-z]"))
		}
	}
	return a
}

var errTwice = errors.New("is there twice")

// failElement notes what is wrong with an element of a list.
func (l *loader) failElement(list place, e element, err error) {
	list.line = e.line
	l.fail(list, "%q %v", e.text, err)
}

func (l *loader) tls(raw *rawTLS) TLS {
	t := TLS{CertFile: l.resolve("tls.crt"), KeyFile: l.resolve("tls.key"), Congestion: l.congestion(raw.Congestion, CongestionAuto)}
	if raw.CertFile.state == given {
		t.CertFile = l.resolve(raw.CertFile.v)
	}
	if raw.KeyFile.state == given {
		t.KeyFile = l.resolve(raw.KeyFile.v)
	}
	if raw.ServerName.state == given {
		t.ServerName = raw.ServerName.v
		if err := checkServerName(t.ServerName); err != nil {
			l.fail(raw.ServerName.place, "%q %v", t.ServerName, err)
		}
	}
	for _, e := range raw.Listen.v {
		ap, err := parseListen(e.text)
		if err != nil {
			l.failElement(raw.Listen.place, e, err)
		} else if slices.Contains(t.Listen, ap) {
			l.failElement(raw.Listen.place, e, errTwice)
		} else {
			t.Listen = append(t.Listen, ap)
		}
	}
	return t
}

func (l *loader) fib(raw *rawFIB) FIB {
	f := FIB{Table: tableMain, Metric: defaultMetric, Protocol: defaultProtocol}
	if raw.Table.state == given {
		var err error
		if f.Table, err = parseTable(string(raw.Table.v)); err != nil {
			l.fail(raw.Table.place, "%q %v", raw.Table.v, err)
		}
	}
	f.Metric = int(l.number(raw.Metric, defaultMetric, 1, maxMetric))
	f.Protocol = int(l.number(raw.Protocol, defaultProtocol, 5, 255))
	if owner, ok := hostProtocols[f.Protocol]; ok {
		l.fail(raw.Protocol.place, "%d marks the routes of %s, which warren would remove; allowed are 5 to 255 without 9 and 16",
			f.Protocol, owner)
	}
	f.KeepUnreachable = raw.KeepUnreachable.v
	for _, e := range raw.Source.v {
		addr, err := netip.ParseAddr(e.text)
		if err == nil {
			bad := martian.Is(netip.PrefixFrom(addr, addr.BitLen()))
			if bad || addr.Zone() != "" {
				err = errors.New("")
			}
		}
		target := &f.Source6
		if addr.Is4() {
			target = &f.Source4
		}
		switch {
		case err != nil:
			l.failElement(raw.Source.place, e, errors.New("cannot be a source; it must be an address of this router, at most one per family"))
		case target.IsValid():
			l.failElement(raw.Source.place, e, fmt.Errorf("comes after %v; at most one source per family is allowed", *target))
		default:
			*target = addr
		}
	}
	return f
}

// hostProtocols are numbers, above those of the kernel and of the
// administrator, by which a Linux host's own routes are known: a default route
// from a router advertisement or from DHCP must not become an owned route.
var hostProtocols = map[int]string{9: "IPv6 router advertisements", 16: "the DHCP client"}

func (l *loader) socket(v value[string]) string {
	if v.state != given {
		return DefaultSocket
	}
	if !filepath.IsAbs(v.v) || len(filepath.Clean(v.v)) > maxSocketPath {
		l.fail(v.place, "%q cannot be a socket; allowed is an absolute path of at most 107 bytes, such as %s", v.v, DefaultSocket)
	}
	return filepath.Clean(v.v)
}

// number checks the range of a number that has a default.
func (l *loader) number(v value[int64], otherwise, least, most int64) int64 {
	if v.state != given {
		return otherwise
	}
	if v.v < least || v.v > most {
		l.fail(v.place, "%d is out of range; allowed are %d to %d", v.v, least, most)
		return otherwise
	}
	return v.v
}
