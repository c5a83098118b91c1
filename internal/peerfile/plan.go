package peerfile

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"warren/internal/config"
	"warren/internal/keys"
)

// File is one that is to be made.
type File struct {
	Path string // absolute
	Text string
	Mode fs.FileMode
}

// Plan is what is to be done with files.
type Plan struct {
	Config string // of the router, absolute
	Create []File // in this order; none of them may be there
	Change []File // files that are there, with what is to be in them; their modes and owners stay
	Delete []string
	Left   []string // files that only what is removed uses, and that stay as they are elsewhere

	seen map[string][]byte // what was in files that are to be changed or deleted, by their paths
}

// Check returns the configuration as it will be. The error is config.Errors if that is wrong.
func (p *Plan) Check() (*config.Config, error) {
	over := map[string][]byte{}
	for _, f := range append(append([]File(nil), p.Create...), p.Change...) {
		over[f.Path] = []byte(f.Text)
	}
	for _, path := range p.Delete {
		over[path] = nil
	}
	return config.LoadOver(p.Config, over)
}

// Taken returns an error that names the first file that is to be made and is there already.
func (p *Plan) Taken() error {
	for _, f := range p.Create {
		if _, err := os.Lstat(f.Path); err == nil {
			return fmt.Errorf("%s exists and is not overwritten: move it away first, or take another name", f.Path)
		}
	}
	return nil
}

// see reads a file that the plan is about. Do does nothing if there is something else in it by then.
func (p *Plan) see(file string) ([]byte, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("peerfile: %w", err)
	}
	if p.seen == nil {
		p.seen = map[string][]byte{}
	}
	p.seen[file] = data
	return data, nil
}

// asSeen returns an error that names the first file that was changed since the plan was made.
func (p *Plan) asSeen() error {
	for _, file := range slices.Sorted(maps.Keys(p.seen)) {
		if now, err := os.ReadFile(file); err != nil || !bytes.Equal(now, p.seen[file]) {
			return fmt.Errorf("%s was changed meanwhile, so that nothing was done: try again", file)
		}
	}
	return nil
}

// Do does all of it, unless files that it is about were changed since the plan was made. On an error what was made is
// removed again.
func (p *Plan) Do() error {
	if err := p.asSeen(); err != nil {
		return err
	}
	for i, f := range p.Create {
		if err := create(f); err != nil {
			return errors.Join(err, (&Plan{Create: p.Create[:i]}).Undo())
		}
	}
	// What names files goes before the files do.
	for _, f := range p.Change {
		if err := change(f); err != nil {
			return err
		}
	}
	for _, path := range p.Delete {
		if err := keys.Remove(path); err != nil {
			return err
		}
	}
	return nil
}

// Undo removes what Do has made.
func (p *Plan) Undo() error {
	var errs []error
	for _, f := range p.Create {
		errs = append(errs, keys.Remove(f.Path))
	}
	return errors.Join(errs...)
}

func create(f File) error {
	if err := os.MkdirAll(filepath.Dir(f.Path), 0o755); err != nil {
		return fmt.Errorf("peerfile: %w", err)
	}
	return keys.Create(f.Path, []byte(f.Text), f.Mode)
}

// change replaces a file by one that belongs to the same user and has the same mode.
func change(f File) error {
	info, err := os.Stat(f.Path)
	if err != nil {
		return fmt.Errorf("peerfile: %w", err)
	}
	path, err := filepath.EvalSymlinks(f.Path) // a link stays one
	if err != nil {
		return fmt.Errorf("peerfile: %w", err)
	}
	return keys.ReplaceLike(path, []byte(f.Text), info)
}
