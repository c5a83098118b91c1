package underlay

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"testing"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// ipRules reads what `ip rule` prints, one rule a line.
func ipRules(t testing.TB, text string) []rule {
	t.Helper()
	var rules []rule
	for line := range strings.Lines(text) {
		if strings.TrimSpace(line) == "" {
			continue
		}
		r, err := ipRule(line)
		if err != nil {
			t.Fatalf("%q: %v", strings.TrimSpace(line), err)
		}
		rules = append(rules, r)
	}
	return rules
}

// ipRule reads one line of `ip rule`.
func ipRule(line string) (rule, error) {
	number, rest, _ := strings.Cut(strings.TrimSpace(line), ":")
	n, err := strconv.ParseUint(number, 10, 32)
	if err != nil {
		return rule{}, err
	}
	r := newRule(uint32(n), nl.FR_ACT_TO_TBL)
	words := strings.Fields(rest)
	for len(words) > 0 {
		word := words[0]
		if words = words[1:]; r.plainWord(word) {
			continue
		}
		if len(words) == 0 {
			return rule{}, fmt.Errorf("%s of what?", word)
		}
		if err := r.valueWord(word, words[0]); err != nil {
			return rule{}, err
		}
		words = words[1:]
	}
	return r, nil
}

func (r *rule) plainWord(word string) bool {
	switch word {
	case "not":
		r.invert = true
	case "nop":
		r.action = nl.FR_ACT_NOP
	case "blackhole":
		r.action = nl.FR_ACT_BLACKHOLE
	case "unreachable":
		r.action = nl.FR_ACT_UNREACHABLE
	case "prohibit":
		r.action = nl.FR_ACT_PROHIBIT
	default:
		return false
	}
	return true
}

func (r *rule) valueWord(word, value string) (err error) {
	number := func(bits int) uint32 {
		n, e := strconv.ParseUint(value, 0, bits)
		if e != nil {
			err = e
		}
		return uint32(n)
	}
	switch word {
	case "from":
		r.from, err = ipPrefix(value)
	case "to":
		r.to, err = ipPrefix(value)
	case "tos":
		r.tos = uint8(number(8))
	case "iif":
		r.iif = value
	case "oif":
		r.oif = value
	case "fwmark":
		mark, mask, masked := strings.Cut(value, "/")
		value, r.mask = mark, ^uint32(0)
		r.mark = number(32)
		if masked {
			value = mask
			r.mask = number(32)
		}
	case "uidrange":
		r.uids, err = ipSpan(value)
	case "ipproto":
		switch value {
		case "tcp":
			value = "6"
		case "udp":
			value = "17"
		case "icmp":
			value = "1"
		}
		r.ipProto = uint8(number(8))
	case "sport":
		r.sport, err = ipSpan(value)
	case "dport":
		r.dport, err = ipSpan(value)
	case "lookup":
		switch value {
		case "[l3mdev-table]":
			r.l3mdev = true
		case "local":
			r.table = unix.RT_TABLE_LOCAL
		case "main":
			r.table = unix.RT_TABLE_MAIN
		case "default":
			r.table = unix.RT_TABLE_DEFAULT
		default:
			r.table = number(32)
		}
	case "goto":
		r.action, r.target = nl.FR_ACT_GOTO, number(32)
	case "suppress_prefixlength":
		r.suppressPrefix = int32(number(31))
	case "suppress_ifgroup":
		r.suppressIfgroup = int32(number(31))
	case "proto":
	default:
		return fmt.Errorf("unknown word %s", word)
	}
	return err
}

func ipPrefix(s string) (netip.Prefix, error) {
	if s == "all" {
		return netip.Prefix{}, nil
	}
	if a, err := netip.ParseAddr(s); err == nil {
		return a.Prefix(a.BitLen())
	}
	return netip.ParsePrefix(s)
}

func ipSpan(s string) (span, error) {
	first, last, two := strings.Cut(s, "-")
	if !two {
		last = first
	}
	a, err := strconv.ParseUint(first, 10, 32)
	if err != nil {
		return span{}, err
	}
	b, err := strconv.ParseUint(last, 10, 32)
	return span{uint32(a), uint32(b), true}, err
}
