package peerfile

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"warren/internal/config"
)

// Removal returns what removes a peer: its file, or its part of a file of several peers, and the files with
// secrets that only it uses, as far as they are in the directory of the config or below.
func Removal(c *config.Config, name string) (*Plan, error) {
	p := c.Peer(name)
	if p == nil {
		return nil, noPeer(c, name)
	}
	file, err := filepath.Abs(p.File)
	if err != nil {
		return nil, fmt.Errorf("peerfile: %w", err)
	}
	plan := &Plan{Config: c.Path}
	others := slices.ContainsFunc(c.Peers, func(o config.Peer) bool { return o.File == p.File && o.Name != p.Name })
	text, err := plan.see(file)
	if err != nil {
		return nil, err
	}
	if !others {
		plan.Delete = []string{file}
	} else if err := plan.cut(file, string(text), name); err != nil {
		return nil, err
	}
	for _, file := range c.KeyFiles(name) {
		switch _, err := os.Lstat(file); {
		case err != nil:
		case strings.HasPrefix(file, filepath.Dir(c.Path)+string(filepath.Separator)):
			plan.Delete = append(plan.Delete, file)
		default:
			plan.Left = append(plan.Left, file)
		}
	}
	return plan, nil
}

// cut takes a peer out of a file that has others.
func (p *Plan) cut(file, text, name string) error {
	left, err := config.Cut(text, name)
	if err != nil {
		return fmt.Errorf("peerfile: %s %w", file, err)
	}
	p.Change = []File{{Path: file, Text: left}}
	next, err := p.Check()
	if err != nil {
		return fmt.Errorf("peerfile: %s cannot be without %s: %w", file, name, err)
	}
	if next.Peer(name) != nil {
		return fmt.Errorf("peerfile: %s has %s also without a header [peer.%s]: take it out by hand", file, name, name)
	}
	return nil
}

func noPeer(c *config.Config, name string) error {
	var names []string
	for _, p := range c.Peers {
		names = append(names, p.Name)
	}
	if len(names) == 0 {
		return fmt.Errorf("there is no peer %q, nor any other, in the files of %s", name, filepath.Join(filepath.Dir(c.Path), "peers.d"))
	}
	const most = 20
	if len(names) > most {
		names = append(names[:most], "…")
	}
	return fmt.Errorf("there is no peer %q in the files of %s; there are %s",
		name, filepath.Join(filepath.Dir(c.Path), "peers.d"), strings.Join(names, ", "))
}
