package agent

import (
	"errors"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"warren/internal/fib"
)

// troubles has each trouble logged once when it comes, however often what causes
// it is tried again, and once when it is over. Its methods may be called from
// any goroutine.
//
// A trouble is a subject that does not succeed, with its causes. The causes of a
// joined error count one by one, because their order is often that of a map; and
// one that returns after another one took its place is not news either, as two
// may take turns for days.
type troubles struct {
	log *slog.Logger

	mu     sync.Mutex
	known  map[subject]*trouble
	routes map[string]time.Time // when it came, by the cause for which routes fail
}

// subject is what does not succeed, in words that go on with "cannot", and the
// peer that it is about, "" for none.
type subject struct{ what, peer string }

type trouble struct {
	since  time.Time
	causes map[string]bool // that were logged
}

func newTroubles(log *slog.Logger) *troubles {
	return &troubles{log: log, known: map[subject]*trouble{}, routes: map[string]time.Time{}}
}

// note takes the result of a try: what is wrong, or nil. attrs go with what is
// logged.
func (t *troubles) note(what, peer string, err error, attrs ...any) {
	causes := causesOf(err)
	if peer != "" {
		attrs = append([]any{"peer", peer}, attrs...)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	of := subject{what, peer}
	known := t.known[of]
	switch {
	case err == nil && known == nil:
	case err == nil:
		delete(t.known, of)
		lasted := time.Since(known.since).Round(time.Millisecond)
		t.log.Info("it is possible again to "+what, append(attrs, "after", lasted)...)
	default:
		if known == nil {
			known = &trouble{since: time.Now(), causes: map[string]bool{}}
			t.known[of] = known
		}
		news := false
		for _, c := range causes {
			news = news || !known.causes[c]
			known.causes[c] = true
		}
		if news {
			t.log.Error("cannot "+what+"; trying again", append(attrs, "err", err)...)
		}
	}
}

// forget forgets a peer's troubles: it is not there any more, or begins again.
func (t *troubles) forget(peer string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for of := range t.known {
		if of.peer == peer {
			delete(t.known, of)
		}
	}
}

// maxCauses bounds what is remembered of one error.
const maxCauses = 32

// causesOf returns the texts of the errors that were joined into err, sorted,
// each once: its own text if none were.
func causesOf(err error) (texts []string) {
	if err == nil {
		return nil
	}
	for e := err; e != nil; e = errors.Unwrap(e) {
		joined, ok := e.(interface{ Unwrap() []error })
		if !ok {
			continue
		}
		for _, one := range joined.Unwrap() {
			texts = append(texts, causesOf(one)...)
		}
		slices.Sort(texts)
		texts = slices.Compact(texts)
		return texts[:min(len(texts), maxCauses)]
	}
	return []string{err.Error()}
}

// noteRoutes takes what fib says. There is a line for each cause when it
// comes, with how many routes it is about then, and one when it is over.
func (t *troubles) noteRoutes(err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now, seen := time.Now(), map[string]bool{}
	for _, c := range routeCauses(err) {
		reason := c.Reason()
		seen[reason] = true
		if _, known := t.routes[reason]; known {
			continue
		}
		t.routes[reason] = now
		var attrs []any
		if c.Routes > 0 {
			attrs = []any{"routes", c.Routes, "prefix", c.Prefix, "interface", c.Interface}
		}
		t.log.Error("cannot "+c.Op+" routes; trying again", append(attrs, "err", c.Err)...)
	}
	for _, reason := range slices.Sorted(maps.Keys(t.routes)) {
		if seen[reason] {
			continue
		}
		op, why, _ := strings.Cut(reason, ": ")
		t.log.Info("it is possible again to "+op+" routes", "after", now.Sub(t.routes[reason]).Round(time.Millisecond), "was", why)
		delete(t.routes, reason)
	}
}

// routeCauses is what routes failed for. Where the kernel could not be asked at
// all, that is the one cause.
func routeCauses(err error) []fib.Cause {
	var failed *fib.Error
	switch {
	case err == nil:
		return nil
	case errors.As(err, &failed):
		return failed.Causes
	}
	return []fib.Cause{{Op: "write", Err: err}}
}
