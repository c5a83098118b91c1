package httpapi

import (
	"context"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"
)

const (
	// How many answers may be on their way at once: to all clients, and to one.
	maxAnswers, maxAnswersOfOne = 16, 4
	// slotTimeout is how long a client waits for those before.
	slotTimeout = 2 * time.Second
)

// slots bounds how many answers are in memory because their clients are slow to read.
type slots struct {
	mu      sync.Mutex
	taken   map[string]int // by client
	changed chan struct{}  // closed, and replaced, when one is given back
}

func newSlots() *slots { return &slots{taken: map[string]int{}, changed: make(chan struct{})} }

// bound has next answer when there is room.
func (s *slots) bound(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		client, _ := r.Context().Value(clientKey{}).(string)
		ctx, cancel := context.WithTimeout(r.Context(), slotTimeout)
		defer cancel()
		if !s.take(ctx, client) {
			w.Header().Set("Retry-After", "2")
			http.Error(w, "too many answers are on their way already", http.StatusServiceUnavailable)
			return
		}
		defer s.give(client)
		next.ServeHTTP(w, r)
	})
}

// take waits for room, and reports whether there is some.
func (s *slots) take(ctx context.Context, client string) bool {
	for {
		s.mu.Lock()
		all := 0
		for _, n := range s.taken {
			all += n
		}
		if all < maxAnswers && s.taken[client] < maxAnswersOfOne {
			s.taken[client]++
			s.mu.Unlock()
			return true
		}
		changed := s.changed
		s.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
			return false
		}
	}
}

func (s *slots) give(client string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.taken[client]--; s.taken[client] == 0 {
		delete(s.taken, client)
	}
	close(s.changed)
	s.changed = make(chan struct{})
}

type clientKey struct{}

// withClient notes which client has a connection: a user of this machine, or another machine.
func withClient(ctx context.Context, c net.Conn) context.Context {
	client := c.RemoteAddr().String()
	if host, _, err := net.SplitHostPort(client); err == nil {
		client = host
	}
	if c, ok := c.(interface{ User() (int64, bool) }); ok {
		if uid, _ := c.User(); uid >= 0 {
			client = "uid " + strconv.FormatInt(uid, 10)
		}
	}
	return context.WithValue(ctx, clientKey{}, client)
}
