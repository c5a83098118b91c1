package conversion

import (
	"fmt"
	"net/netip"
	"strings"
)

// trust sets how the peer is known.
func (o *ovpnFile) trust(r *Result, p *Peer) {
	if l := o.find("secret"); l != nil {
		p.bySecret("Instead of a static key: `warren keygen --secret FILE` makes it at one end, copy it to the other.")
		return
	}
	o.authority(r, p)
	l := o.find("verify-x509-name")
	switch {
	case l == nil:
		set(&p.Tunnel, "peer_name", "", "The DNS name in the far end's certificate, which was not asked for.")
	case l.arg(2) == "name" && isDNSName(l.arg(1)):
		set(&p.Tunnel, "peer_name", quote(l.arg(1)), "It has to be a DNS name of the certificate (subjectAltName); a common name alone is not looked at.")
	default:
		p.Notes = append(p.Notes, o.note(l.number, l.text(), "peer_name is a whole DNS name"))
		set(&p.Tunnel, "peer_name", "", "The DNS name in the far end's certificate.")
	}
}

// trustClient sets how a server's client is known: by its name.
func (o *ovpnFile) trustClient(r *Result, p *Peer) {
	o.authority(r, p)
	const why = "It has to be a DNS name of the client's certificate (subjectAltName); a common name alone is not looked at."
	if isDNSName(p.Name) {
		set(&p.Tunnel, "peer_name", quote(p.Name), why)
	} else {
		set(&p.Tunnel, "peer_name", "", why)
	}
}

// bySecret has the peer be known by a secret that has to be made.
func (p *Peer) bySecret(why string) {
	put(&p.Tunnel, Setting{Key: "secret_file", ending: ".secret", Why: []string{why}})
}

func (o *ovpnFile) authority(r *Result, p *Peer) {
	switch l := o.find("ca"); {
	case l == nil:
		p.bySecret("No way to know the peer was found: `warren keygen --secret FILE` makes a secret, copy it to the far end.")
	case l.inline != "":
		set(&p.Tunnel, "ca_file", quote(r.keyFile(o.File, ".ca.crt", l.inline, true)))
	default:
		set(&p.Tunnel, "ca_file", quote(o.resolve(l.arg(1))))
	}
	if l := o.find("crl-verify"); l != nil {
		p.Notes = append(p.Notes, o.note(l.number, l.text(), "there are no revocation lists: a peer is refused when its file is removed"))
	}
}

func isDNSName(s string) bool {
	return isName(s) && !strings.ContainsAny(s, "_") && strings.Contains(s, ".") && !strings.Contains(s, "..") && s[len(s)-1] != '.'
}

// pairOfEnds sets the addresses of ifconfig A B.
func (o *ovpnFile) pairOfEnds(p *Peer) {
	l := o.find("ifconfig")
	if l == nil {
		return
	}
	a, err1 := netip.ParseAddr(l.arg(1))
	b, err2 := netip.ParseAddr(l.arg(2))
	if err1 == nil && err2 == nil {
		for _, bits := range []int{31, 30} {
			own := netip.PrefixFrom(a, bits)
			if own.Contains(b) && a != b {
				set(&p.Tunnel, "address", list([]string{own.String()}))
				set(&p.Tunnel, "peer_address", quote(b.String()))
				p.addresses, p.subnets = []netip.Addr{b}, []netip.Prefix{own}
				return
			}
		}
	}
	p.Notes = append(p.Notes, o.note(l.number, l.text(), "both ends derive the tunnel's addresses, unless address and peer_address name two of one subnet"))
}

// pushed sets the address that a client was given.
func (c *ovpnFile) pushed(p *Peer, server *ovpnFile) {
	for _, name := range []string{"ifconfig-push", "ifconfig-ipv6-push"} {
		l := c.find(name)
		if l == nil {
			continue
		}
		text, _, _ := strings.Cut(l.arg(1), "/")
		a, err := netip.ParseAddr(text)
		if err != nil {
			p.Notes = append(p.Notes, c.note(l.number, l.text(), "it is not an address"))
			continue
		}
		assigned := netip.PrefixFrom(a, a.BitLen()).String()
		if s := get(p.Tunnel, "assign"); s != nil {
			s.Value = strings.TrimSuffix(s.Value, "]") + ", " + quote(assigned) + "]"
		} else {
			set(&p.Tunnel, "assign", list([]string{assigned}), "The client takes it with address = \"assigned\".")
		}
	}
}

// routes are the prefixes of directives with an address and a mask, or a prefix.
func (o *ovpnFile) routes(v4, v6 string) (all []string) {
	for _, name := range []string{v4, v6} {
		for _, l := range o.all(name) {
			if p, ok := prefixOf(l.words[1:]); ok && !isWhole(p) {
				all = append(all, p.String())
			}
		}
	}
	return all
}

// prefixOf reads NETWORK [MASK], or PREFIX.
func prefixOf(words []string) (netip.Prefix, bool) {
	if len(words) == 0 {
		return netip.Prefix{}, false
	}
	if p, err := netip.ParsePrefix(words[0]); err == nil {
		return p.Masked(), true
	}
	a, err := netip.ParseAddr(words[0])
	if err != nil || !a.Is4() {
		return netip.Prefix{}, false
	}
	bits := 32
	if len(words) > 1 && words[1] != "default" {
		mask, err := netip.ParseAddr(words[1])
		if err != nil || !mask.Is4() {
			return netip.Prefix{}, false
		}
		m := mask.As4()
		n := uint32(m[0])<<24 | uint32(m[1])<<16 | uint32(m[2])<<8 | uint32(m[3])
		for bits = 0; bits < 32 && n&(1<<(31-bits)) != 0; bits++ {
		}
		if bits < 32 && n<<bits != 0 {
			return netip.Prefix{}, false // a mask with holes
		}
	}
	return netip.PrefixFrom(a, bits).Masked(), true
}

// importRoutes sets what the peer may announce.
func (p *Peer) importRoutes(prefixes []string, why string) {
	set(&p.BGP, "asn", "", "The far end's AS number. OpenVPN has none; choose one from 64512 to 65534 for each router.")
	if len(prefixes) == 0 {
		why = fmt.Sprintf("%s There were none: say here what the far end may announce.", why)
	}
	set(&p.BGP, "import", list(prefixes), why)
}
