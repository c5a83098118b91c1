package conversion

import (
	"fmt"
	"math"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
)

// Read makes peers of files. An error is a file that cannot be understood.
func Read(files []File) (*Result, error) {
	r := &Result{}
	var wgs []*wgFile
	var servers, clients []*ovpnFile
	var birds []*birdFile
	for i := range files {
		f := &files[i]
		k, err := f.kind()
		if err != nil {
			return nil, err
		}
		switch k {
		case wgQuick:
			w, err := parseWG(f)
			if err != nil {
				return nil, err
			}
			wgs = append(wgs, w)
		case bird:
			b, err := parseBIRD(f)
			if err != nil {
				return nil, err
			}
			birds = append(birds, b)
		default:
			o, err := parseOVPN(f)
			if err != nil {
				return nil, err
			}
			if k == openVPNClient {
				clients = append(clients, o)
			} else {
				servers = append(servers, o)
			}
		}
	}
	for _, w := range wgs {
		r.addWG(w)
	}
	if err := r.addOVPNs(servers, clients); err != nil {
		return nil, err
	}
	names, templates := define(birds)
	var sessions []*session
	for _, b := range birds {
		sessions = append(sessions, r.addBIRD(b, names, templates)...)
	}
	r.join(sessions)
	return r, r.finish()
}

func (r *Result) addOVPNs(all, clients []*ovpnFile) error {
	served := false
	for _, o := range all {
		var own []*ovpnFile
		if o.isServer() && !served {
			own, served = clients, true
		}
		if err := r.addOVPN(o, own); err != nil {
			return err
		}
	}
	if len(clients) > 0 && !served {
		return fmt.Errorf("%s: is a client's, of client-config-dir: give the server's configuration too", clients[0].Path)
	}
	return nil
}

// join gives each peer the sessions that go through its tunnel. Those that are left are on LANs. Sessions
// of one neighbor, one for each family, become one.
func (r *Result) join(sessions []*session) {
	tunnels := slices.Clone(r.Peers)
	taken := map[*Peer][]*session{}
	var order []*Peer
	for _, x := range sessions {
		p := tunnelOf(tunnels, x)
		if p == nil {
			p = r.lanOf(taken, order, x)
		}
		if taken[p] == nil {
			order = append(order, p)
		}
		taken[p] = append(taken[p], x)
	}
	for _, p := range order {
		p.take(taken[p])
		if p.Tunnel == nil {
			r.Peers = append(r.Peers, p)
		}
	}
}

// tunnelOf returns the peer whose tunnel a session goes through: by the interface's name, or by the neighbor's
// address in it. nil: there is none.
func tunnelOf(peers []*Peer, x *session) *Peer {
	for _, p := range peers {
		if slices.Contains(p.addresses, x.neighbor) && !x.neighbor.IsLinkLocalUnicast() {
			return p
		}
	}
	for _, p := range peers {
		if x.device != "" && p.device == x.device && (!p.common || slices.Contains(p.addresses, x.neighbor)) {
			return p
		}
	}
	for _, p := range peers {
		for _, own := range p.subnets {
			if !p.common && x.neighbor.IsValid() && !x.neighbor.IsLinkLocalUnicast() && !isWhole(own) && own.Contains(x.neighbor) && own.Addr() != x.neighbor {
				return p
			}
		}
	}
	return nil
}

// lanOf returns the peer of a session without a tunnel: that of another with the same neighbor, or another.
func (r *Result) lanOf(taken map[*Peer][]*session, known []*Peer, x *session) *Peer {
	for _, p := range known {
		if p.Tunnel == nil && taken[p][0].neighbor == x.neighbor && taken[p][0].device == x.device {
			return p
		}
	}
	name := nameOf(x.name)
	if name == "" {
		name = nameOf("as" + x.asn)
	}
	return &Peer{Name: name}
}

// take gives a peer its sessions, of which each may have a part of the families.
func (p *Peer) take(sessions []*session) {
	asn, hadImport := get(p.BGP, "asn"), get(p.BGP, "import")
	p.BGP = nil
	first := sessions[0]
	for _, x := range sessions {
		if !slices.Contains(p.Sources, x.file.Path) {
			p.Sources = append(p.Sources, x.file.Path)
		}
		for _, n := range x.notes {
			if !slices.Contains(p.Notes, n) {
				p.Notes = append(p.Notes, n)
			}
		}
		if first.asn == "" {
			first.asn = x.asn
		}
	}
	switch {
	case first.asn != "":
		set(&p.BGP, "asn", first.asn)
	case asn != nil:
		p.BGP = append(p.BGP, *asn)
	default:
		set(&p.BGP, "asn", "", fmt.Sprintf("%s:%d says none: the neighbor's AS number.", filepath.Base(first.file.Path), first.line))
	}
	p.setPolicies(sessions, hadImport)
	for _, s := range first.bgp {
		if get(p.BGP, s.Key) == nil {
			p.BGP = append(p.BGP, s)
		}
	}
	if p.Tunnel != nil {
		p.setNeighbor(sessions)
		for _, s := range first.lan {
			p.Notes = append(p.Notes, first.file.note(first.line, s.Key, "is for sessions without a tunnel; inside one nobody else can send"))
		}
		return
	}
	p.Keys = append(p.Keys, first.keys...)
	p.setLAN(first)
}

// setLAN says where a neighbor without a tunnel is.
func (p *Peer) setLAN(x *session) {
	if x.neighbor.IsValid() {
		set(&p.BGP, "address", quote(x.neighbor.WithZone("").String()))
	} else {
		set(&p.BGP, "address", "", "The neighbor's address, which has to be in a network of this host's.")
	}
	if x.device != "" {
		set(&p.BGP, "interface", quote(x.device))
	} else if x.neighbor.IsLinkLocalUnicast() {
		set(&p.BGP, "interface", "", "The interface that this link-local address is at.")
	}
	p.BGP = append(p.BGP, x.lan...)
}

// setNeighbor has BGP go between the addresses that the far end has it on.
func (p *Peer) setNeighbor(sessions []*session) {
	for _, x := range sessions {
		if !x.neighbor.IsValid() {
			continue
		}
		if s := get(p.Tunnel, "peer_address"); s != nil && s.Value == quote(x.neighbor.String()) {
			return
		}
		for _, own := range p.subnets {
			if own.Contains(x.neighbor) && own.Addr() != x.neighbor {
				p.replaceEnds(own, x.neighbor)
				return
			}
		}
	}
	if x := sessions[0]; x.neighbor.IsValid() && get(p.Tunnel, "peer_address") == nil {
		var own []string
		for _, s := range p.subnets {
			own = append(own, s.String())
		}
		p.drop("address")
		set(&p.Tunnel, "address", "", fmt.Sprintf("The far end speaks BGP from %v, which is in no subnet of an address of this end's (%s).", x.neighbor, strings.Join(own, ", ")),
			"A Warren there derives addresses by itself. For another, set this end's with a length that takes in both,",
			fmt.Sprintf("such as address = [\"fe80::1/64\"], and peer_address = %q.", x.neighbor))
	}
}

func (p *Peer) replaceEnds(own netip.Prefix, far netip.Addr) {
	p.drop("address")
	p.drop("peer_address")
	set(&p.Tunnel, "address", list([]string{own.String()}))
	set(&p.Tunnel, "peer_address", quote(far.String()))
}

func (p *Peer) drop(key string) {
	p.Tunnel = slices.DeleteFunc(p.Tunnel, func(s Setting) bool { return s.Key == key })
}

// setPolicies sets import, export and max_prefixes from both families'.
func (p *Peer) setPolicies(sessions []*session, allowed *Setting) {
	var in, out sum
	limit := 0
	for _, x := range sessions {
		for _, family := range []string{"ipv4", "ipv6"} {
			c := x.families[family]
			if c == nil {
				continue
			}
			in.add(x, c.imports, c.importLine)
			out.add(x, c.exports, c.exportLine)
			if c.limit != "" {
				var n int
				if _, err := fmt.Sscan(c.limit, &n); err == nil && n > limit && n <= math.MaxInt32 {
					limit = n
				}
			}
		}
	}
	why := in.why("import")
	if allowed != nil && len(in.items) == 0 && allowed.Value != "[]" {
		why = append(why, "What the tunnel was for, by the other file: "+allowed.Value+".")
	}
	set(&p.BGP, "import", list(in.items), why...)
	if !out.unsure || len(out.items) > 0 {
		set(&p.BGP, "export", list(out.items), out.why("export")...)
	} else {
		set(&p.BGP, "export", list([]string{"own"}), out.why("export")...)
	}
	if limit > 0 {
		set(&p.BGP, "max_prefixes", fmt.Sprint(limit))
	}
}

// sum is the policies of several families.
type sum struct {
	items  []string
	unsure bool
	said   bool // by any of them
	lines  []string
}

func (s *sum) add(x *session, p *policy, line int) {
	if p == nil {
		return
	}
	s.said = true
	at := fmt.Sprintf("%s:%d", filepath.Base(x.file.Path), line)
	if !p.sure {
		s.unsure = true
		lines := []string{at + ": " + oneLine(p.lost)}
		if len(p.wider) > 0 {
			lines = append(lines, "  (without that it would be "+list(p.wider)+")")
		}
		if !slices.Contains(s.lines, lines[0]) {
			s.lines = append(s.lines, lines...)
		}
		return
	}
	for _, item := range p.items {
		if !slices.Contains(s.items, item) {
			s.items = append(s.items, item)
		}
	}
}

func (s *sum) why(key string) (why []string) {
	if s.unsure {
		why = append(why, "These conditions have no counterpart, so what they let through is left out. Write here what is meant:")
		why = append(why, s.lines...)
	}
	if key == "import" && !s.said {
		why = append(why, "None is said there.")
	}
	if key == "import" && slices.Contains(s.items, "any") {
		why = append(why, "\"any\" takes neither default routes, see \"default\", nor prefixes shorter than /8 (IPv6: /16).")
	}
	return why
}
