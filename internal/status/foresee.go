package status

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// What a change does to what is there: words that stay the same from version to version.
const (
	ChangeAdded   = "added"
	ChangeRemoved = "removed"
	ChangeTunnel  = "tunnel_reset"  // a tunnel is made again, or its session ends, and BGP with it
	ChangeSession = "session_reset" // the BGP session ends and begins again, and the tunnel stays
	ChangeRefresh = "refresh"       // other routes in a session that stays
	ChangeKept    = "kept"          // something else about a tunnel that stays
	ChangeRouter  = "router"        // the router's own: sessions stay
)

// Change is one thing that a reload changes.
type Change struct {
	Peer      string   `json:"peer"`                // empty: the router
	Interface string   `json:"interface,omitempty"` // of the tunnel, if it is about one
	Effect    string   `json:"effect"`
	Keys      []string `json:"keys"` // of the configuration, because of which
	Text      string   `json:"text"`
}

// Foretold is what a reload would do at this moment.
type Foretold struct {
	Path    string   `json:"path"` // of the config that the daemon reads
	Changes []Change `json:"changes"`
	Stays   []string `json:"stays"`  // peers for which nothing changes
	Errors  []string `json:"errors"` // because of which it would change nothing at all
}

// Foresee asks the daemon at socket what a reload would do. Nothing changes by that.
func Foresee(ctx context.Context, socket string) (Foretold, error) {
	var f Foretold
	err := ask(ctx, socket, http.MethodGet, "/foresee", &f)
	return f, err
}

// Try has the daemon at socket reload, and go back to the configuration before by itself unless Confirm
// comes within a time.
func Try(ctx context.Context, socket string, within time.Duration) (ReloadResult, error) {
	var r ReloadResult
	err := ask(ctx, socket, http.MethodPost, "/try?"+url.Values{"within": {within.String()}}.Encode(), &r)
	return r, err
}

// Confirm has the daemon at socket keep what Try has changed. Why there is nothing to keep is in the result.
func Confirm(ctx context.Context, socket string) (ReloadResult, error) {
	var r ReloadResult
	err := ask(ctx, socket, http.MethodPost, "/confirm", &r)
	return r, err
}

// Undo has the daemon at socket go back at once to the configuration before Try, and waits until it has. Why there is
// nothing to take back is in the result.
func Undo(ctx context.Context, socket string) (ReloadResult, error) {
	var r ReloadResult
	err := ask(ctx, socket, http.MethodPost, "/undo", &r)
	return r, err
}

// The times that Try takes.
const (
	MinTry = 5 * time.Second
	MaxTry = 24 * time.Hour
)

// ParseTry reads a time for Try.
func ParseTry(text string) (time.Duration, error) {
	d, err := time.ParseDuration(text)
	if err != nil || d < MinTry || d > MaxTry {
		return 0, fmt.Errorf("%q is not a duration of %v to %v, such as 90s or 5m", text, MinTry, "24h")
	}
	return d, nil
}

// foresee registers the questions of this file.
func (s *Server) foresee(run context.Context, mux *http.ServeMux) {
	if s.config.Foresee != nil {
		mux.HandleFunc("GET /foresee", func(w http.ResponseWriter, r *http.Request) {
			v, err := s.config.Foresee(r.Context())
			s.answer(w, v, err)
		})
	}
	if s.config.Try != nil {
		mux.HandleFunc("POST /try", func(w http.ResponseWriter, r *http.Request) {
			within, err := ParseTry(r.URL.Query().Get("within"))
			var v ReloadResult
			if err == nil { // it goes on when the client has gone, perhaps because of what it changes
				v, err = s.config.Try(run, userOf(r.Context()), within)
			}
			s.answer(w, v, err)
		})
	}
	if s.config.Confirm != nil {
		mux.HandleFunc("POST /confirm", func(w http.ResponseWriter, r *http.Request) {
			v, err := s.config.Confirm(r.Context(), userOf(r.Context()))
			s.answer(w, v, err)
		})
	}
}

// undo registers the question for going back.
func (s *Server) undo(run context.Context, mux *http.ServeMux) {
	if s.config.Undo != nil {
		mux.HandleFunc("POST /undo", func(w http.ResponseWriter, r *http.Request) {
			v, err := s.config.Undo(run, userOf(r.Context())) // it goes on when the client has gone
			s.answer(w, v, err)
		})
	}
}

// ForetoldText writes what a reload would do for people.
func ForetoldText(w io.Writer, f Foretold) error {
	var b strings.Builder
	for _, c := range f.Changes {
		fmt.Fprintf(&b, "%s\n", clean(c.Text))
	}
	switch n := len(f.Stays); {
	case len(f.Errors) > 0:
	case len(f.Changes) == 0:
		b.WriteString("nothing to change\n")
	case n > 0:
		fmt.Fprintf(&b, "unchanged, and stays up: %s\n", clean(firstOf(f.Stays)))
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// firstOf names the first of many.
func firstOf(names []string) string {
	const most = 8
	if len(names) <= most {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), len(names)-most)
}

// MarshalJSON implements json.Marshaler: a list is never null.
func (c Change) MarshalJSON() ([]byte, error) {
	type plain Change
	if c.Keys == nil {
		c.Keys = []string{}
	}
	return json.Marshal(plain(c))
}

// MarshalJSON implements json.Marshaler: a list is never null.
func (f Foretold) MarshalJSON() ([]byte, error) {
	type plain Foretold
	if f.Changes == nil {
		f.Changes = []Change{}
	}
	if f.Stays == nil {
		f.Stays = []string{}
	}
	if f.Errors == nil {
		f.Errors = []string{}
	}
	return json.Marshal(plain(f))
}
