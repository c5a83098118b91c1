package engine

import "sync"

// news is what is to be told of sessions, in the order in which it happened: what
// began is told before its end, whichever goroutines found out. Nothing is told with
// Speaker.mu held, since whoever is told may take a while, or ask.
type news struct {
	pending []func()   // guarded by Speaker.mu
	telling sync.Mutex // held by whoever tells; taken before Speaker.mu
}

// tell tells all that is pending. What another goroutine tells already was told when
// it returns.
func (s *Speaker) tell() {
	s.news.telling.Lock()
	defer s.news.telling.Unlock()
	for {
		s.mu.Lock()
		pending := s.news.pending
		s.news.pending = nil
		s.mu.Unlock()
		if len(pending) == 0 {
			return
		}
		for _, f := range pending {
			f()
		}
	}
}
