package conversion

import (
	"fmt"
	"net/netip"
	"strings"
)

// Peer is what becomes one file of peers.d.
type Peer struct {
	Name    string
	Sources []string  // the files that it comes from
	Tunnel  []Setting // of [tunnel]; nil: a session on a LAN
	BGP     []Setting
	Notes   []Note
	Keys    []KeyFile // that only this peer has

	device    string         // the interface that carries BGP
	addresses []netip.Addr   // that the far end has in the tunnel
	subnets   []netip.Prefix // of the tunnel, this end's address in each
	common    bool           // the interface has other peers as well
}

// Setting is a key with its value.
type Setting struct {
	Key   string
	Value string   // as TOML writes it; "": what is to be filled in, so the line is a comment
	Why   []string // comments before it

	ending string // of a file that is called after the peer: finish makes Value of it
}

// KeyFile is a file that a key refers to, beside warren.toml.
type KeyFile struct {
	Name    string
	Content string
	Public  bool // certificates

	ending string // of a file that is called after the peer: finish makes Name of it
}

// Note is on a line that has no counterpart, or not the whole of one.
type Note struct {
	File string
	Line int
	Text string // of the line, without secrets
	Why  string
}

// Result is what was made of all files.
type Result struct {
	Peers  []*Peer
	Router []Setting // what belongs into warren.toml, by "table.key"
	Notes  []Note    // on lines that are of no peer
	Keys   []KeyFile // of the router's own, and those that several peers may have

	taken map[string]string // names of Keys, and of files that are missing, with their contents
}

func quote(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range strings.ToValidUTF8(s, "?") {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r < ' ' || r == 0x7f:
			fmt.Fprintf(&b, `\u%04X`, r)
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
	return b.String()
}

// list writes strings as a TOML array.
func list(all []string) string {
	quoted := make([]string, len(all))
	for i, s := range all {
		quoted[i] = quote(s)
	}
	return "[" + strings.Join(quoted, ", ") + "]"
}

// set adds a setting.
func set(to *[]Setting, key, value string, why ...string) {
	*to = append(*to, Setting{Key: key, Value: value, Why: why})
}

// put adds a setting, or replaces the one of that key.
func put(to *[]Setting, s Setting) {
	if old := get(*to, s.Key); old != nil {
		*old = s
		return
	}
	*to = append(*to, s)
}

// get returns a setting, or nil.
func get(of []Setting, key string) *Setting {
	for i := range of {
		if of[i].Key == key {
			return &of[i]
		}
	}
	return nil
}

// router notes what belongs into warren.toml. What several files say differently is told each.
func (r *Result) router(key, value, why string) {
	for _, s := range r.Router {
		if s.Key == key && s.Value == value {
			return
		}
	}
	set(&r.Router, key, value, why)
}

// isName reports whether s can be a peer's name and the name of its files.
func isName(s string) bool {
	return s != "" && len(s) <= 63 && strings.Trim(s, nameChars) == "" && !strings.ContainsAny(s[:1], "-.")
}

const nameChars = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_."

// nameOf makes a name of what people call something. It is empty if nothing is left of it.
func nameOf(s string) string {
	s = strings.Map(func(r rune) rune {
		switch {
		case strings.ContainsRune(nameChars, r):
			return r
		case r == ' ' || r == '/' || r == ':' || r == '@':
			return '-'
		}
		return -1
	}, strings.TrimSpace(s))
	s = strings.Trim(s, "-._")
	return s[:min(len(s), 63)]
}

// isInterface reports whether s can be an interface's name.
func isInterface(s string) bool { return len(s) <= 15 && isName(s) && s != "lo" }

// isKey reports whether s is a key as wg(8) writes it.
func isKey(s string) bool {
	return len(s) == 44 && s[43] == '=' && strings.Trim(s[:43], "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/") == ""
}

// isWhole reports whether a prefix is a family's whole.
func isWhole(p netip.Prefix) bool { return p.Bits() == 0 }
