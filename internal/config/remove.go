package config

import (
	"fmt"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// KeyFiles returns the files with secrets that only this peer uses, be they there or not: absolute, sorted,
// none twice. What anybody may read, such as certificates, is not among them.
func (c *Config) KeyFiles(peer string) []string {
	l := &loader{dir: filepath.Dir(c.Path)}
	taken := map[string]bool{c.TLS.KeyFile: true, c.WireGuard.PrivateKeyFile: true}
	var own []string
	for i := range c.Peers {
		if p := &c.Peers[i]; p.Name != peer {
			for _, file := range l.keyFiles(p.raw) {
				taken[file] = true
			}
		} else {
			own = l.keyFiles(p.raw)
		}
	}
	own = slices.DeleteFunc(own, func(file string) bool { return taken[file] })
	slices.Sort(own)
	return slices.Compact(own)
}

func (l *loader) keyFiles(raw *rawPeer) (files []string) {
	if raw == nil {
		return nil
	}
	add := func(name string) {
		if name != "" {
			files = append(files, l.resolve(name))
		}
	}
	add(raw.BGP.PasswordFile.v)
	for i := range raw.Tunnels.v {
		t := &raw.Tunnels.v[i]
		for _, v := range []value[string]{t.SecretFile, t.InvitationFile, t.PresharedKeyFile} {
			add(v.v)
		}
		if t.InvitationFile.v != "" {
			add(t.InvitationFile.v + usedSuffix)
		}
		for _, v := range []value[list]{t.SecretFiles, t.PrivateKeyFiles} {
			for _, e := range v.v {
				add(e.text)
			}
		}
	}
	return files
}

// Cut takes a peer out of the text of a file that has several, with what is below its [peer.NAME]. All comments
// stay that are not between its keys. It works on headers: a peer that is written in another form, as
// peer.NAME.bgp.asn = 64513, is an error, which completes a sentence that begins with the file.
func Cut(text, peer string) (string, error) {
	all := headings(text)
	size := 0
	for _, h := range all {
		size += len(h.text)
	}
	var kept strings.Builder
	kept.WriteString(text[:len(text)-size])
	found := false
	for _, h := range all {
		if len(h.key) < 2 || h.key[0] != "peer" || h.key[1] != peer {
			kept.WriteString(h.text)
			continue
		}
		found = true
		kept.WriteString(h.text[endOfKeys(h.text):])
	}
	if !found {
		return "", fmt.Errorf("has no header [peer.%s], so that what belongs to the peer cannot be told: take it out by hand", peer)
	}
	return kept.String(), nil
}

// endOfKeys is where the comments and empty lines at the end of a table's text begin.
func endOfKeys(text string) int {
	last := 0 // behind the last that is neither
	for i := 0; i < len(text); {
		n := tokenLength(text[i:])
		if c := text[i]; c != '#' && !strings.ContainsRune(" \t\r\n", rune(c)) {
			last = i + n
		}
		i += n
	}
	// The line goes with its own comment.
	if i := strings.IndexByte(text[last:], '\n'); i >= 0 {
		return last + i + 1
	}
	return len(text)
}

// ParseName checks a router's or a peer's name. The error completes a sentence that begins with it.
func ParseName(s string) error { return checkName(s) }

// ParseFilter reads a filter of import or export: PREFIX [ge N] [le N]. The error completes a sentence that begins
// with it.
func ParseFilter(s string) (PrefixFilter, error) { return parseFilter(s) }

// ParseRemote checks host:port of an end that listens for TLS. The error completes a sentence that begins with it.
func ParseRemote(s string) error {
	_, err := parseRemote(s, "443")
	return err
}

// ParseASN checks an AS number. The error completes a sentence that begins with it.
func ParseASN(n int64) error { return checkASN(n) }

// ParseInterface checks the name of an interface. The error completes a sentence that begins with it.
func ParseInterface(s string) error { return checkInterface(s) }

// MatchesAny reports whether one of the patterns of announce.interfaces is about an interface.
func MatchesAny(patterns []string, ifname string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool {
		ok, err := path.Match(p, ifname)
		return err == nil && ok
	})
}
