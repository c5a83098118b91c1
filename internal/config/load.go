package config

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
)

// Load reads and validates warren.toml at path, and peers.d/*.toml beside it.
// Hidden files and those with another ending are left out; a missing or empty
// peers.d makes a Config without peers. Files that keys refer to are read too.
// A file or a directory that others than root and the user of this process can
// change is a mistake.
//
// The error, if any, is always an [Errors] with every mistake that was found.
func Load(path string) (*Config, error) {
	l := &loader{}
	main := source{file: path}
	var err error
	if main.data, err = l.read(path, trusted); err != nil {
		l.fail(place{file: path}, "cannot be read: %v", err)
		return nil, l.errs
	}
	peers, unread := l.peerSources(filepath.Join(filepath.Dir(path), "peers.d"))
	cfg, err := l.load(main, peers)
	if err == nil {
		cfg.Unread = unread
	}
	return cfg, err
}

// loader collects what is wrong while a configuration is put together.
type loader struct {
	dir  string          // absolute; file names are relative to it
	dirs map[string]bool // those that were looked at
	errs Errors
	said map[Error]bool // those in errs, of which each is said once
}

// source is the contents of one file.
type source struct {
	file string // its path, as in messages
	data []byte
}

// fail notes a mistake. The text completes a sentence that the key begins, or
// follows it after a colon.
func (l *loader) fail(at place, format string, args ...any) {
	e := Error{File: at.file, Line: at.line, Key: at.key, Text: fmt.Sprintf(format, args...)}
	if l.said[e] {
		return // several tunnels have the value
	}
	if l.said == nil {
		l.said = map[Error]bool{}
	}
	l.said[e] = true
	l.errs = append(l.errs, e)
}

// load makes a Config of the files' contents.
func (l *loader) load(main source, peers []source) (*Config, error) {
	path, err := filepath.Abs(main.file)
	if err != nil {
		l.fail(place{file: main.file}, "has no absolute path: %v", err)
		return nil, l.errs
	}
	l.dir = filepath.Dir(path)

	var raw rawRouter
	var cfg *Config
	if l.decode(main.file, main.data, &raw) {
		cfg = l.router(&raw)
		cfg.Path, cfg.raw = path, &raw
	}
	drafts := make([]draft, 0, len(peers))
	for _, s := range peers {
		if d, ok := l.peer(s); ok {
			drafts = append(drafts, d)
		}
	}
	slices.SortFunc(drafts, func(a, b draft) int { return strings.Compare(a.peer.Name, b.peer.Name) })
	if cfg != nil {
		cfg.TLS.Certificate = l.certificate(&raw.TLS, cfg.TLS, drafts)
		cfg.WireGuard.PrivateKey = l.privateKey(&raw.WireGuard, cfg.WireGuard, drafts)
		l.checkAgainstRouter(&raw, cfg, tunnelsOf(drafts))
		for i := range drafts {
			l.setCluster(cfg, &drafts[i])
		}
	}
	l.checkAmongTunnels(tunnelsOf(drafts))
	l.checkLANs(drafts)

	if len(l.errs) > 0 {
		l.errs.sort()
		return nil, l.errs
	}
	for _, d := range drafts {
		cfg.Peers = append(cfg.Peers, *d.peer)
	}
	return cfg, nil
}

// draft is a peer together with what its file said.
type draft struct {
	peer *Peer
	raw  *rawPeer
}

// peer makes a Peer of one file.
func (l *loader) peer(s source) (draft, bool) {
	name := strings.TrimSuffix(filepath.Base(s.file), ".toml")
	if err := checkName(name); err != nil {
		l.fail(place{file: s.file}, "the file's name is the peer's name, and %q %v", name, err)
	}
	raw := &rawPeer{}
	if !l.decode(s.file, s.data, raw) {
		return draft{}, false
	}
	p := &Peer{Name: name, File: s.file, raw: raw}
	if raw.wantsLAN() {
		p.BGP = l.peerBGP(&raw.BGP)
		p.BGP.LAN = l.lan(&raw.BGP)
		return draft{p, raw}, true
	}
	if len(raw.Tunnels.v) == 0 {
		head := place{file: s.file, line: 1, key: "tunnel"}
		leaveAll(head, absent, raw.Tunnels.add(head))
	}
	l.refuseLAN(&raw.BGP)
	p.Tunnels, p.BGP = l.tunnels(name, &raw.Tunnels), l.peerBGP(&raw.BGP)
	return draft{p, raw}, true
}

// resolve makes a file name absolute.
func (l *loader) resolve(name string) string {
	if filepath.IsAbs(name) {
		return filepath.Clean(name)
	}
	return filepath.Join(l.dir, name)
}
