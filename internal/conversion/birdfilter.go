package conversion

import (
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// birdNames are what a configuration defines, by name: tokens.
type birdNames struct {
	constants map[string][]string // define
	filters   map[string][]string
	functions map[string][]string // without arguments
	static    map[string]bool     // protocols whose routes are this router's own
}

// policy is what a channel's import or export comes to.
type policy struct {
	items []string // of a filter of Warren's: "any", "own", "10.0.0.0/8 le 24"
	sure  bool     // that is what was meant, or less
	wider []string // what would be accepted if the conditions that are not known here were left out
	lost  string   // those conditions
}

// policyOf reads what is behind import or export.
func (n *birdNames) policyOf(s *statement, export bool) policy {
	words := s.words[1:]
	switch {
	case len(words) == 1 && words[0] == "none" || len(words) == 0 && s.block == nil:
		return policy{sure: true}
	case len(words) == 1 && words[0] == "all":
		return policy{items: []string{"any"}, sure: true}
	case len(words) > 1 && words[0] == "where":
		return n.condition(words[1:], export)
	case len(words) == 2 && words[0] == "filter" && s.block == nil:
		if body, ok := n.filters[words[1]]; ok {
			return n.body(body, export)
		}
		return policy{lost: "filter " + words[1]}
	case len(words) == 1 && words[0] == "filter":
		return n.body(s.inner, export)
	}
	return policy{lost: tidy(strings.Join(words, " "))}
}

// body reads a filter of the form `if CONDITION then accept; reject;`, with or without else.
func (n *birdNames) body(t []string, export bool) policy {
	full := policy{lost: tidy(strings.Join(t, " "))}
	if slices.Equal(t, []string{"accept", ";"}) {
		return policy{items: []string{"any"}, sure: true}
	}
	if slices.Equal(t, []string{"reject", ";"}) {
		return policy{sure: true}
	}
	var all policy
	all.sure = true
	for len(t) > 0 && t[0] == "if" {
		then := slices.Index(t, "then")
		if then < 0 {
			return full
		}
		p := n.condition(t[1:then], export)
		rest, ok := accepts(t[then+1:])
		if !ok || !p.sure {
			full.wider = p.wider
			if p.sure {
				full.wider = p.items
			}
			return full
		}
		all.items = append(all.items, p.items...)
		t = rest
	}
	if len(t) == 0 || slices.Equal(t, []string{"reject", ";"}) || slices.Equal(t, []string{"else", "reject", ";"}) {
		return all
	}
	full.wider = all.items
	return full
}

// accepts reads `accept;` or `{ accept; }` behind then.
func accepts(t []string) (rest []string, ok bool) {
	if len(t) >= 2 && t[0] == "accept" && t[1] == ";" {
		return t[2:], true
	}
	if len(t) >= 4 && slices.Equal(t[:4], []string{"{", "accept", ";", "}"}) {
		return t[4:], true
	}
	return nil, false
}

// condition reads an expression: alternatives of sets that net is in, or of where a route is from.
func (n *birdNames) condition(t []string, export bool) policy {
	t = unwrap(t)
	if parts := split(t, "||"); len(parts) > 1 {
		all := policy{sure: true}
		for _, part := range parts {
			p := n.condition(part, export)
			if !p.sure {
				return policy{lost: tidy(strings.Join(t, " "))}
			}
			all.items = append(all.items, p.items...)
		}
		return all
	}
	if parts := split(t, "&&"); len(parts) > 1 {
		return n.both(parts, export)
	}
	if body, ok := n.call(t); ok {
		return n.condition(body, export)
	}
	if len(t) >= 3 && t[0] == "net" && (t[1] == "~" || t[1] == "=") {
		if items, ok := n.set(t[2:], 0); ok {
			return policy{items: items, sure: true}
		}
	}
	if export && n.isOwnSource(t) {
		return policy{items: []string{"own"}, sure: true}
	}
	return policy{lost: tidy(strings.Join(t, " "))}
}

// both reads conditions of which all have to hold. What only keeps own networks out is so here anyway.
func (n *birdNames) both(parts [][]string, export bool) policy {
	var sets [][]string
	var lost []string
	for _, part := range parts {
		p := n.condition(part, export)
		switch {
		case p.sure:
			sets = append(sets, p.items)
		case !export && n.isNotOwn(part) || export && isAnySource(part):
		default:
			lost = append(lost, tidy(strings.Join(part, " ")))
		}
	}
	if len(sets) == 1 && len(lost) == 0 {
		return policy{items: sets[0], sure: true}
	}
	p := policy{lost: strings.Join(lost, " && ")}
	if len(sets) == 1 {
		p.wider = sets[0]
	} else if p.lost == "" {
		p.lost = "several sets that net has to be in"
	}
	return p
}

// Names that people give the set of their own networks, and a function that tells whether net is in it: nothing but
// words that say so, or the set may be another one, such as KNOWN_BOGONS or OWNERS.
const ownWords = `(_?(as|ips?|nets?|networks?|netset|prefix|prefixes|subnets?|ranges?|addr|addresses|routes?|space|list|set|all|v?[46]|ipv[46]))*$`

var (
	ownSet      = regexp.MustCompile(`^(?i)((my|our)_?)?own` + ownWords)
	ownFunction = regexp.MustCompile(`^(?i)is_(self|own)` + ownWords)
)

// isNotOwn reports whether a condition is that net is not one of the router's own.
func (n *birdNames) isNotOwn(t []string) bool {
	t = unwrap(t)
	if len(t) == 3 && t[0] == "net" && t[1] == "!~" {
		return ownSet.MatchString(t[2])
	}
	if len(t) < 2 || t[0] != "!" {
		return false
	}
	t = unwrap(t[1:])
	if body, ok := n.call(t); ok {
		t = unwrap(body)
	}
	switch {
	case len(t) != 3:
		return false
	case t[0] == "net" && t[1] == "~":
		return ownSet.MatchString(t[2])
	}
	return t[1] == "(" && t[2] == ")" && ownFunction.MatchString(t[0])
}

// isOwnSource reports whether a condition is that a route is this router's own.
func (n *birdNames) isOwnSource(t []string) bool {
	s := strings.Join(t, "")
	switch s {
	case "source=RTS_STATIC", "source=RTS_DEVICE", "source~[RTS_STATIC,RTS_DEVICE]", "source~[RTS_DEVICE,RTS_STATIC]", "source~[RTS_STATIC]", "source~[RTS_DEVICE]":
		return true
	}
	return len(t) == 3 && t[0] == "proto" && (t[1] == "=" || t[1] == "~") && n.static[unquote(t[2])]
}

// isAnySource reports whether a condition holds for all that there is to announce: what is this router's own,
// and what came by BGP.
func isAnySource(t []string) bool {
	t = unwrap(t)
	return len(t) > 3 && slices.Equal(t[:3], []string{"source", "~", "["}) && slices.Index(t, "]") == len(t)-1 &&
		slices.Contains(t, "RTS_BGP") && slices.Contains(t, "RTS_STATIC")
}

// call returns what a function without arguments returns.
func (n *birdNames) call(t []string) (body []string, ok bool) {
	if len(t) != 3 || t[1] != "(" || t[2] != ")" {
		return nil, false
	}
	f := n.functions[t[0]]
	if len(f) > 2 && f[0] == "return" && slices.Index(f, ";") == len(f)-1 {
		return f[1 : len(f)-1], true
	}
	return nil, false
}

func unwrap(t []string) []string {
	for len(t) >= 2 && t[0] == "(" && t[len(t)-1] == ")" {
		depth := 0
		for i, w := range t {
			switch w {
			case "(":
				depth++
			case ")":
				depth--
			}
			if depth == 0 && i < len(t)-1 {
				return t
			}
		}
		t = t[1 : len(t)-1]
	}
	return t
}

// split divides tokens at an operator that is in no bracket.
func split(t []string, at string) (parts [][]string) {
	depth, from := 0, 0
	for i, w := range t {
		switch w {
		case "(", "[":
			depth++
		case ")", "]":
			depth--
		case at:
			if depth == 0 {
				parts = append(parts, t[from:i])
				from = i + 1
			}
		}
	}
	return append(parts, t[from:])
}

// maxNames bounds constants in constants.
const maxNames = 8

// set reads a set of prefixes, or the name of one: [ P, P+, P{A,B} ]. ok is false if a part of it has no
// counterpart.
func (n *birdNames) set(t []string, depth int) (items []string, ok bool) {
	if len(t) == 1 {
		if c, is := n.constants[t[0]]; is && depth < maxNames {
			return n.set(c, depth+1)
		}
	}
	if len(t) >= 2 && t[0] == "[" && t[len(t)-1] == "]" {
		for _, part := range split(braces(t[1:len(t)-1]), ",") {
			more, ok := n.set(part, depth+1)
			if !ok {
				return nil, false
			}
			items = append(items, more...)
		}
		return items, true
	}
	return prefixItem(t)
}

// braces makes one word of {A,B}, so that its comma divides nothing.
func braces(t []string) (joined []string) {
	for len(t) > 0 {
		if len(t) >= 5 && t[0] == "{" && t[4] == "}" {
			joined, t = append(joined, t[1]+"-"+t[3]), t[5:]
			continue
		}
		joined, t = append(joined, t[0]), t[1:]
	}
	return joined
}

// prefixItem writes a prefix pattern of BIRD's as one of Warren's.
func prefixItem(t []string) (items []string, ok bool) {
	if len(t) == 0 {
		return nil, true // the end of a list with a comma
	}
	p, err := netip.ParsePrefix(t[0])
	if err != nil {
		return nil, false
	}
	p = p.Masked()
	most := p.Addr().BitLen()
	switch {
	case len(t) == 1:
		return []string{p.String()}, true
	case len(t) == 2 && t[1] == "+":
		if p.Bits() == most {
			return []string{p.String()}, true
		}
		return []string{fmt.Sprintf("%v le %d", p, most)}, true
	case len(t) == 2 && strings.Contains(t[1], "-") && t[1] != "-":
		from, to, _ := strings.Cut(t[1], "-")
		a, err1 := strconv.Atoi(from)
		b, err2 := strconv.Atoi(to)
		if a = max(a, p.Bits()); err1 != nil || err2 != nil || a > b || b > most {
			return nil, false
		}
		switch {
		case a == b && a == p.Bits():
			return []string{p.String()}, true
		case a == p.Bits():
			return []string{fmt.Sprintf("%v le %d", p, b)}, true
		}
		return []string{fmt.Sprintf("%v ge %d le %d", p, a, b)}, true
	}
	return nil, false // P-: prefixes that P lies in
}
