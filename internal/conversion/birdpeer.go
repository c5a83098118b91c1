package conversion

import (
	"fmt"
	"net/netip"
	"path/filepath"
	"slices"
)

// session is a `protocol bgp`.
type session struct {
	file     *birdFile
	line     int
	name     string
	neighbor netip.Addr
	device   string // the interface that it goes by; "": not said
	asn      string // of the neighbor; "": not said
	bgp      []Setting
	notes    []Note
	keys     []KeyFile
	lan      []Setting // what a session without a tunnel needs besides
	families map[string]*channel
}

// channel is what one family has.
type channel struct {
	imports, exports *policy
	importLine       int
	exportLine       int
	limit            string
}

// addBIRD reads what one file defines, and returns the sessions of it.
func (r *Result) addBIRD(b *birdFile, names *birdNames, templates map[string]*statement) (all []*session) {
	for i := range b.statements {
		s := &b.statements[i]
		switch {
		case s.is("router", "id") && len(s.words) == 3:
			if a, err := netip.ParseAddr(s.words[2]); err == nil && a.Is4() {
				r.router("router_id", quote(a.String()), fmt.Sprintf("%s:%d", filepath.Base(b.Path), s.line))
			}
		case s.is("protocol", "bgp"):
			all = append(all, r.session(b, s, names, templates))
		case s.is("protocol", "static"):
			r.statics(b, s)
		case s.is("include"):
			r.Notes = append(r.Notes, b.note(s.line, s.text(), "give the files that it names to `warren import` too"))
		}
	}
	return all
}

// define collects constants, filters, functions and templates of all files.
func define(files []*birdFile) (*birdNames, map[string]*statement) {
	n := &birdNames{constants: map[string][]string{}, filters: map[string][]string{}, functions: map[string][]string{}, static: map[string]bool{}}
	templates := map[string]*statement{}
	for _, b := range files {
		for i := range b.statements {
			s := &b.statements[i]
			switch {
			case s.is("define") && len(s.words) > 3 && s.words[2] == "=":
				n.constants[s.words[1]] = s.words[3:]
			case s.is("filter") && len(s.words) == 2:
				n.filters[s.words[1]] = s.inner
			case s.is("function") && len(s.words) >= 4 && s.words[2] == "(" && s.words[3] == ")":
				n.functions[s.words[1]] = s.inner
			case (s.is("protocol", "static") || s.is("protocol", "direct")) && len(s.words) >= 3:
				n.static[s.words[2]] = true
			case s.is("template", "bgp") && len(s.words) >= 3:
				templates[s.words[2]] = s
			}
		}
	}
	return n, templates
}

// statics notes the networks that this router announces itself.
func (r *Result) statics(b *birdFile, s *statement) {
	var networks []string
	for _, in := range s.block {
		if in.is("route") && len(in.words) >= 3 && slices.Contains([]string{"reject", "blackhole", "unreachable", "prohibit"}, in.words[2]) {
			if p, err := netip.ParsePrefix(in.words[1]); err == nil && !isWhole(p) {
				networks = append(networks, p.Masked().String())
			}
		}
	}
	if len(networks) > 0 {
		r.router("announce.networks", list(networks), fmt.Sprintf("%s:%d", filepath.Base(b.Path), s.line))
	}
}

// session reads a protocol, and the templates that it is from before.
func (r *Result) session(b *birdFile, s *statement, names *birdNames, templates map[string]*statement) *session {
	x := &session{file: b, line: s.line, families: map[string]*channel{}}
	if len(s.words) > 2 && s.words[2] != "from" {
		x.name = unquote(s.words[2])
	}
	for _, t := range lineage(s, templates, 0) {
		for i := range t.block {
			r.bgpStatement(x, &t.block[i], names)
		}
	}
	return x
}

// lineage is a protocol behind the templates that it is from, the most general one first.
func lineage(s *statement, templates map[string]*statement, depth int) []*statement {
	i := slices.Index(s.words, "from")
	if i < 0 || i+1 >= len(s.words) || depth > maxNames {
		return []*statement{s}
	}
	t := templates[s.words[i+1]]
	if t == nil {
		return []*statement{s}
	}
	return append(lineage(t, templates, depth+1), s)
}

// What statements of a protocol are here; "" is that nothing is lost.
var birdReasons = map[string]string{
	"description": "", "direct": "", "graceful": "", "enable": "", "strict": "", "capabilities": "", "path": "", "debug": "", "connect": "", "error": "",
	"startup": "", "start": "", "next": "", "gateway": "", "missing": "", "extended": "", "disabled": "", "require": "", "advertise": "", "vrf": "",
	"hold":          "a session's hold time is 9 s; the tunnel's keepalive and dead_after decide sooner",
	"keepalive":     "a session's hold time is 9 s; the tunnel's keepalive and dead_after decide sooner",
	"passive":       "both ends may begin a session",
	"default":       "preference of a tunnel decides between peers",
	"preference":    "preference of a tunnel decides between peers",
	"med":           "preference of a tunnel decides between peers",
	"bfd":           "a tunnel's keepalive and dead_after find a dead peer in 50 ms at best",
	"source":        "address in [tunnel] is this end's",
	"multihop":      "a session is between neighbors: through a tunnel, or on a network that this host has an address in",
	"prefer":        "the first way to be learned is not preferred",
	"add":           "all ways are known to Warren from its own sessions",
	"table":         "[fib] table is where routes go",
	"confederation": "there are no confederations", "role": "there are no roles (RFC 9234)",
}

func (r *Result) bgpStatement(x *session, s *statement, names *birdNames) {
	note := func(why string) { x.notes = append(x.notes, x.file.note(s.line, s.text(), why)) }
	switch {
	case len(s.words) == 0:
	case s.is("local"):
		r.localOf(x, s, names)
	case s.is("neighbor"):
		x.neighborOf(s, names, note)
	case s.is("interface") && len(s.words) == 2:
		x.device = unquote(s.words[1])
	case s.is("password") && len(s.words) == 2:
		x.keys = []KeyFile{{ending: ".password", Content: unquote(s.words[1]) + "\n"}}
		put(&x.lan, Setting{Key: "password_file", ending: ".password"})
	case s.is("ttl", "security"):
		if len(s.words) == 2 || isOn(s.words[2]) {
			put(&x.lan, Setting{Key: "ttl_security", Value: "true"})
		}
	case s.is("rr", "client"):
		put(&x.bgp, Setting{Key: "route_reflector_client", Value: "true"})
	case s.is("rr", "cluster", "id") && len(s.words) == 4:
		r.router("bgp.cluster_id", quote(s.words[3]), "")
	case s.is("disabled") && (len(s.words) == 1 || isOn(s.words[1])):
		note("a peer with a file is wanted: leave the file out, or take the peer down (`warren down`) until it is")
	case s.is("allow", "local", "as"):
		times := "1"
		if len(s.words) == 4 && names.number(s.words[3]) != "" {
			times = names.number(s.words[3])
		}
		put(&x.bgp, Setting{Key: "allow_own_as", Value: times})
	case s.is("ipv4") || s.is("ipv6"):
		c := x.channel(s.words[0])
		for i := range s.block {
			x.channelStatement(c, &s.block[i], names)
		}
	case s.is("import") || s.is("export"): // of BIRD 1, which has one family
		for _, family := range []string{"ipv4", "ipv6"} {
			x.channelStatement(x.channel(family), s, names)
		}
	default:
		why, known := birdReasons[s.words[0]]
		if !known {
			why = "it has no counterpart"
		}
		if why != "" {
			note(why)
		}
	}
}

func isOn(s string) bool { return s == "on" || s == "yes" || s == "true" }

func (x *session) channel(family string) *channel {
	if x.families[family] == nil {
		x.families[family] = &channel{}
	}
	return x.families[family]
}

// localOf notes this router's AS number.
func (r *Result) localOf(x *session, s *statement, names *birdNames) {
	if i := slices.Index(s.words, "as"); i > 0 && i+1 < len(s.words) {
		if asn := names.number(s.words[i+1]); asn != "" {
			r.router("asn", asn, fmt.Sprintf("%s:%d", filepath.Base(x.file.Path), s.line))
		}
	}
}

// number returns a number, or that of a constant, or "".
func (n *birdNames) number(s string) string {
	for range maxNames {
		if isNumber(s) {
			return s
		}
		c := n.constants[s]
		if len(c) != 1 {
			return ""
		}
		s = c[0]
	}
	return ""
}

// neighborOf reads `neighbor ADDRESS [% INTERFACE] [port N] [as N]`.
func (x *session) neighborOf(s *statement, names *birdNames, note func(string)) {
	w := s.words[1:]
	if len(w) > 0 && !slices.Contains([]string{"as", "internal", "external", "range", "port"}, w[0]) {
		text := w[0]
		if c := names.constants[text]; len(c) == 1 {
			text = c[0]
		}
		a, err := netip.ParseAddr(text)
		if err != nil {
			note("it is not an address")
			return
		}
		x.neighbor, w = a, w[1:]
	}
	if len(w) >= 2 && w[0] == "%" {
		x.device, w = unquote(w[1]), w[2:]
	}
	for len(w) > 0 {
		switch {
		case w[0] == "as" && len(w) > 1:
			if asn := names.number(w[1]); asn != "" {
				x.asn = asn
			}
			w = w[1:]
		case w[0] == "port" && len(w) > 1 && w[1] != "179":
			note("BGP has port 179")
		case w[0] == "internal":
			note("asn is then that of warren.toml")
		case w[0] == "range":
			note("peers have a file each, or are accepted by [accept]")
		}
		w = w[1:]
	}
}

func (x *session) channelStatement(c *channel, s *statement, names *birdNames) {
	switch {
	case s.is("import", "limit") && len(s.words) >= 3:
		c.limit = names.number(s.words[2])
	case s.is("receive", "limit"), s.is("export", "limit"), s.is("import", "keep"), s.is("import", "table"), s.is("export", "table"):
	case s.is("import"):
		p := names.policyOf(s, false)
		c.imports, c.importLine = &p, s.line
	case s.is("export"):
		p := names.policyOf(s, true)
		c.exports, c.exportLine = &p, s.line
	case len(s.words) > 0:
		if why, known := birdReasons[s.words[0]]; !known || why != "" {
			if why == "" {
				why = "it has no counterpart"
			}
			x.notes = append(x.notes, x.file.note(s.line, s.text(), why))
		}
	}
}
