package page

import (
	"context"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"path"
	"time"

	"warren/internal/status"
)

//go:embed assets
var assets embed.FS

const (
	writeWithin = 5 * time.Second
	maxAsked    = 64 // peers in one question for samples
)

// policy lets the page load and ask nothing but what this server has, and run no script that is not a file of
// it. With Trusted Types a script that makes markup from text fails.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
	"base-uri 'none'; form-action 'self'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"

// types are the kinds of files in assets. A name's ending may mean something else to the host.
var types = map[string]string{
	".html": "text/html; charset=utf-8",
	".css":  "text/css; charset=utf-8",
	".js":   "text/javascript; charset=utf-8",
	".svg":  "image/svg+xml",
}

func (p *Page) routes() *http.ServeMux {
	mux := http.NewServeMux()
	files, err := assets.ReadDir("assets")
	if err != nil {
		panic("page: " + err.Error()) // it is in the binary
	}
	for _, f := range files {
		name := f.Name()
		data, err := assets.ReadFile(path.Join("assets", name))
		if err != nil {
			panic("page: " + err.Error())
		}
		at := "/" + name
		if name == "index.html" {
			at = "/{$}"
		}
		mux.Handle("GET "+at, headers(file(data, types[path.Ext(name)])))
	}
	for at, answer := range map[string]http.HandlerFunc{
		"/events": p.serveEvents, "/why.json": p.serveWhy, "/samples.json": p.serveSamples,
	} {
		mux.Handle("GET "+at, headers(ownSite(answer)))
	}
	return mux
}

// file serves a file of the binary, which a browser asks for again each time, and gets if it is another.
func file(data []byte, kind string) http.Handler {
	sum := sha256.Sum256(data)
	tag := `"` + base64.RawURLEncoding.EncodeToString(sum[:12]) + `"`
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Type", kind)
		h.Set("Cache-Control", "no-cache")
		h.Set("ETag", tag)
		if r.Header.Get("If-None-Match") == tag {
			w.WriteHeader(http.StatusNotModified)
			return
		}
		_, _ = w.Write(data) // who has gone needs no answer
	})
}

func headers(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", policy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Del("Cross-Origin-Opener-Policy") // browsers complain of it where the address is not this host's
		next.ServeHTTP(w, r)
	})
}

// ownSite refuses what another site's page asks for. It could not read the answer, but it could keep the
// viewers' places taken. A program that is no browser does not send the header.
func ownSite(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.Header.Get("Sec-Fetch-Site") {
		case "", "none", "same-origin":
			next.ServeHTTP(w, r)
		default:
			fail(w, http.StatusForbidden, errors.New("another site's page may not ask this"))
		}
	})
}

// serveEvents sends frames until the viewer goes, is too slow, or Run ends.
func (p *Page) serveEvents(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	if r.Method == http.MethodHead {
		return
	}
	v := &viewer{frames: make(chan []byte, queue), joined: make(chan bool, 1)}
	select {
	case p.join <- v:
	case <-p.stopped:
		fail(w, http.StatusServiceUnavailable, errors.New("the daemon is stopping"))
		return
	case <-r.Context().Done():
		return
	}
	if !<-v.joined {
		w.Header().Set("Retry-After", "10")
		fail(w, http.StatusServiceUnavailable, fmt.Errorf("%d browsers look at this page already", maxViewers))
		return
	}
	defer func() {
		select {
		case p.leave <- v:
		case <-p.stopped:
		}
	}()
	control := http.NewResponseController(w)
	_ = control.SetReadDeadline(time.Time{}) // what is read from now on is the viewer's end
	for {
		select {
		case data, ok := <-v.frames:
			if !ok {
				return
			}
			_ = control.SetWriteDeadline(time.Now().Add(writeWithin))
			if _, err := w.Write(data); err != nil {
				return
			}
			if err := control.Flush(); err != nil {
				return
			}
		case <-r.Context().Done():
			return
		}
	}
}

var errTooMany = errors.New("too many ask at the same time; try again")

// take waits for room in slots, and reports whether there was some before ctx was done.
func take(ctx context.Context, slots chan struct{}) bool {
	select {
	case slots <- struct{}{}:
		return true
	case <-ctx.Done():
		return false
	}
}

// serveWhy answers what became of the routes to a prefix.
func (p *Page) serveWhy(w http.ResponseWriter, r *http.Request) {
	values := r.URL.Query()
	q, err := status.ParseWhy(values.Get("prefix"))
	if err != nil {
		fail(w, http.StatusBadRequest, err)
		return
	}
	q.From, q.To = values.Get("from"), values.Get("to")
	ctx, cancel := context.WithTimeout(r.Context(), askWithin)
	defer cancel()
	if !take(ctx, p.whys) {
		fail(w, http.StatusServiceUnavailable, errTooMany)
		return
	}
	defer func() { <-p.whys }()
	y, err := p.source.Why(ctx, q)
	switch {
	case errors.Is(err, status.ErrNoPeer):
		fail(w, http.StatusNotFound, err)
	case err != nil:
		fail(w, http.StatusServiceUnavailable, err)
	default:
		answer(w, http.StatusOK, y)
	}
}

// serveSamples answers with the last hour of the peers that are named.
func (p *Page) serveSamples(w http.ResponseWriter, r *http.Request) {
	names := r.URL.Query()["peer"]
	if len(names) == 0 || len(names) > maxAsked {
		fail(w, http.StatusBadRequest, fmt.Errorf("name 1 to %d peers, as in samples.json?peer=site-b", maxAsked))
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), askWithin)
	defer cancel()
	if !take(ctx, p.reads) {
		fail(w, http.StatusServiceUnavailable, errTooMany)
		return
	}
	defer func() { <-p.reads }()
	q := samplesQuestion{peers: names, answer: make(chan samples, 1)}
	select {
	case p.samples <- q:
		answer(w, http.StatusOK, <-q.answer)
	case <-p.stopped:
		fail(w, http.StatusServiceUnavailable, errors.New("the daemon is stopping"))
	case <-r.Context().Done():
	}
}

func fail(w http.ResponseWriter, code int, err error) {
	answer(w, code, struct {
		Error string `json:"error"`
	}{err.Error()})
}

func answer(w http.ResponseWriter, code int, v any) {
	data, err := json.Marshal(v)
	if err != nil {
		http.Error(w, "no JSON: "+err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(writeWithin))
	w.WriteHeader(code)
	_, _ = w.Write(data) // who has gone needs no answer
}
