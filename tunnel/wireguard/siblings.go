package wireguard

import (
	"slices"
	"sync"
	"time"
)

// siblings are the links of an endpoint by their peers. Where several lead to one, they tell a line that is dead, which one of them does
// not hear the peer by, from a peer whose process does not run, which none hears.
type siblings struct {
	mu     sync.Mutex
	byName map[string][]*Link // by LinkConfig.Name, in no order
}

func (s *siblings) add(l *Link) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.byName == nil {
		s.byName = make(map[string][]*Link)
	}
	s.byName[l.cfg.Name] = append(s.byName[l.cfg.Name], l)
}

func (s *siblings) remove(l *Link) {
	s.mu.Lock()
	defer s.mu.Unlock()
	left := slices.DeleteFunc(slices.Clone(s.byName[l.cfg.Name]), func(o *Link) bool { return o == l })
	if s.byName[l.cfg.Name] = left; len(left) == 0 {
		delete(s.byName, l.cfg.Name)
	}
}

// of returns the links to the peer of l, which may be among them. They are to be left as they are.
func (s *siblings) of(l *Link) []*Link {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.byName[l.cfg.Name]
}

// allSilent reports whether the peer, heard last at a time, fell silent at the same time in another tunnel, and was heard in none
// since. Two lines that work hear it within a keepalive of one another, and a quarter more if one is a bit late.
func (l *Link) allSilent(now, heard time.Time) bool {
	together := false
	for _, o := range l.e.siblings.of(l) {
		if o == l {
			continue
		}
		apart := max(l.cfg.Keepalive, o.cfg.Keepalive)
		spoke := o.peer.Status(now).Spoke
		if spoke.After(heard.Add(apart + apart/4)) {
			return false
		}
		together = together || spoke.After(heard.Add(-apart-apart/4))
	}
	return together
}
