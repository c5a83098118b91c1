package conversion

import (
	"fmt"
	"slices"
	"strings"
)

// finish makes names differ, calls files after their peers, and sorts notes.
func (r *Result) finish() error {
	used := map[string]bool{}
	for i, p := range r.Peers {
		if !isName(p.Name) {
			p.Name = fmt.Sprintf("peer-%d", i+1)
		}
		for n, base := 2, p.Name; used[strings.ToLower(p.Name)]; n++ {
			p.Name = fmt.Sprintf("%s-%d", base[:min(len(base), 59)], n)
		}
		used[strings.ToLower(p.Name)] = true
		p.nameFiles()
		slices.SortStableFunc(p.Notes, func(a, b Note) int {
			if c := strings.Compare(a.File, b.File); c != 0 {
				return c
			}
			return a.Line - b.Line
		})
	}
	for _, p := range r.Peers {
		r.nameInterface(p)
	}
	if len(r.Peers) == 0 && len(r.Notes) == 0 {
		return fmt.Errorf("there is no peer in these files")
	}
	return nil
}

// nameFiles calls the peer's own files, and has the settings call them, by its name.
func (p *Peer) nameFiles() {
	for i := range p.Keys {
		p.Keys[i].Name = p.Name + p.Keys[i].ending
	}
	for _, settings := range [][]Setting{p.Tunnel, p.BGP} {
		for i := range settings {
			if ending := settings[i].ending; ending != "" {
				settings[i].Value = quote(p.Name + ending)
			}
		}
	}
}

// keyFile makes a file of what a configuration has, called after that, and returns its name. Files of the same name, as
// those of two directories are, have one only if they are equal. Without content there is no file, and a name that no
// other one has.
func (r *Result) keyFile(of *File, ending, content string, public bool) string {
	if r.taken == nil {
		r.taken = map[string]string{}
	}
	base := nameOf(of.base())
	if base == "" {
		base = "imported"
	}
	name := base + ending
	for n := 2; ; n++ {
		is, taken := r.taken[name]
		if taken && is == content && content != "" {
			return name
		}
		if !taken {
			break
		}
		name = fmt.Sprintf("%s-%d%s", base, n, ending)
	}
	r.taken[name] = content
	if content != "" {
		r.Keys = append(r.Keys, KeyFile{Name: name, Content: content, Public: public})
	}
	return name
}

// nameInterface gives a tunnel's interface a name where the peer's is too long for one.
func (r *Result) nameInterface(p *Peer) {
	if p.Tunnel == nil || isInterface(p.Name) || get(p.Tunnel, "interface") != nil {
		return
	}
	short, _, _ := strings.Cut(p.Name, ".")
	name := short[:min(len(short), 15)]
	for n := 2; !isInterface(name) || r.hasInterface(name); n++ {
		name = fmt.Sprintf("%s-%d", short[:min(len(short), 12)], n)
	}
	set(&p.Tunnel, "interface", quote(name))
}

func (r *Result) hasInterface(name string) bool {
	return slices.ContainsFunc(r.Peers, func(p *Peer) bool {
		s := get(p.Tunnel, "interface")
		return s != nil && s.Value == quote(name) || s == nil && p.Name == name
	})
}
