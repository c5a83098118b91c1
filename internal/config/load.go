package config

import (
	"crypto/x509"
	"path/filepath"
)

// Load reads and validates warren.toml at path, and peers.d/*.toml beside it.
// Hidden files and those with another ending are left out; a missing or empty
// peers.d makes a Config without peers. Files that keys refer to are read too.
// A file or a directory that others than root and the user of this process can
// change is a mistake.
//
// The error, if any, is always an [Errors] with every mistake that was found.
func Load(path string) (*Config, error) { return LoadOver(path, nil) }

// LoadOver is Load of what would be on the disk with these files there, by their paths, which are made
// from path as Load makes them or absolute; nil is one that would not be there. The directory peers.d
// need not exist.
func LoadOver(path string, files map[string][]byte) (*Config, error) {
	l := &loader{over: files}
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
	dir  string                    // absolute; file names are relative to it
	dirs map[string]bool           // those that were looked at
	over map[string][]byte         // files that are not on the disk as they will be; nil: one that will not be there
	cas  map[string]*x509.CertPool // by file, those that were read
	errs Errors
	said map[Error]bool // those in errs, of which each is said once

	peer   *Peer             // whose values are looked at; nil: no peer's
	takers map[place]*takers // by where in a template something is wrong, or by the key that it lacks

	noTemplates bool // for warren.toml cannot be understood
}

// source is the contents of one file.
type source struct {
	file string // its path, as in messages
	data []byte
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
	l.noTemplates = cfg == nil
	drafts := l.drafts(peers, &raw.Templates)
	if cfg != nil {
		cfg.Accept = l.accept(cfg)
		cfg.TLS.Certificate = l.certificate(&raw, cfg.TLS, drafts)
		cfg.WireGuard.PrivateKey = l.privateKey(&raw.WireGuard, cfg.WireGuard, drafts)
		l.checkAgainstRouter(&raw, cfg, tunnelsOf(drafts))
		for _, d := range drafts {
			l.settle(cfg, d)
		}
		l.checkAcceptedUnderlays(&cfg.Accept, tunnelsOf(drafts))
	}
	l.checkAmongTunnels(tunnelsOf(drafts))
	l.checkLANs(drafts)

	if len(l.errs) > 0 {
		l.finish()
		return nil, l.errs
	}
	for _, d := range drafts {
		cfg.Peers = append(cfg.Peers, *d.peer)
	}
	return cfg, nil
}

// resolve makes a file name absolute.
func (l *loader) resolve(name string) string {
	if filepath.IsAbs(name) {
		return filepath.Clean(name)
	}
	return filepath.Join(l.dir, name)
}
