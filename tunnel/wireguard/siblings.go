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
	byPeer map[string][]*Link // by LinkConfig.Peer, in no order
}

func (s *siblings) add(l *Link) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if l.cfg.Peer == "" {
		return
	}
	if s.byPeer == nil {
		s.byPeer = make(map[string][]*Link)
	}
	s.byPeer[l.cfg.Peer] = append(s.byPeer[l.cfg.Peer], l)
}

func (s *siblings) remove(l *Link) {
	s.mu.Lock()
	defer s.mu.Unlock()
	// Whoever has the list goes on with it as it was.
	left := slices.DeleteFunc(slices.Clone(s.byPeer[l.cfg.Peer]), func(o *Link) bool { return o == l })
	if len(left) == 0 {
		delete(s.byPeer, l.cfg.Peer)
		return
	}
	s.byPeer[l.cfg.Peer] = left
}

// of returns the links to the peer of l, which may be among them. They are to be left as they are.
func (s *siblings) of(l *Link) []*Link {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.byPeer[l.cfg.Peer]
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
