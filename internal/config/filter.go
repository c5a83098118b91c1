package config

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// parseFilter reads PREFIX [ge N] [le N].
//
// Without ge and le the prefix alone matches. With le alone, lengths from the
// prefix's own; with ge alone, lengths up to 32 or 128.
func parseFilter(s string) (PrefixFilter, error) {
	words := strings.Fields(s)
	if len(words) == 0 {
		return PrefixFilter{}, errors.New("is empty; allowed is " + filterForm)
	}
	prefix, err := parsePrefix(words[0])
	if err != nil {
		return PrefixFilter{}, err
	}
	f := PrefixFilter{Prefix: prefix, Ge: prefix.Bits(), Le: prefix.Bits()}
	rest := words[1:]
	if len(rest) >= 2 && rest[0] == "ge" {
		if f.Ge, err = parseLength(rest, prefix); err != nil {
			return f, err
		}
		f.Le = prefix.Addr().BitLen()
		rest = rest[2:]
	}
	if len(rest) >= 2 && rest[0] == "le" {
		if f.Le, err = parseLength(rest, prefix); err != nil {
			return f, err
		}
		rest = rest[2:]
	}
	if len(rest) > 0 {
		return f, fmt.Errorf("cannot be understood from %q on; allowed is %s", strings.Join(rest, " "), filterForm)
	}
	if f.Ge > f.Le {
		return f, fmt.Errorf("matches nothing, as ge %d is above le %d", f.Ge, f.Le)
	}
	return f, nil
}

const filterForm = `PREFIX [ge N] [le N], such as "10.2.0.0/16 le 24"`

// parseLength reads the number behind ge or le, the words' first.
func parseLength(words []string, prefix netip.Prefix) (int, error) {
	n, err := strconv.ParseUint(words[1], 10, 8)
	if most := prefix.Addr().BitLen(); err != nil || int(n) < prefix.Bits() || int(n) > most {
		return 0, fmt.Errorf("has %s %s; allowed for this prefix are %d to %d", words[0], words[1], prefix.Bits(), most)
	}
	return int(n), nil
}

// String gives the shortest text that means the same in a config.
func (f PrefixFilter) String() string {
	s := f.Prefix.String()
	if f.Ge > f.Prefix.Bits() {
		s += " ge " + strconv.Itoa(f.Ge)
		if f.Le < f.Prefix.Addr().BitLen() {
			s += " le " + strconv.Itoa(f.Le)
		}
	} else if f.Le > f.Prefix.Bits() {
		s += " le " + strconv.Itoa(f.Le)
	}
	return s
}
