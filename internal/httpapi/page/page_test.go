package page

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"warren/internal/history"
	"warren/internal/status"
)

// seen is what a viewer reads of a frame.
type seen struct {
	Full    bool
	AtMS    int64 `json:"at_ms"`
	Router  *status.Router
	Names   []string
	Peers   []shownPeer
	Numbers []json.RawMessage
	Events  []history.Event
	Sampled bool
	Trouble string
}

func parse(t *testing.T, data []byte) (s seen) {
	t.Helper()
	text, ok := strings.CutPrefix(string(data), "data: ")
	text, whole := strings.CutSuffix(text, "\n\n")
	if !ok || !whole || strings.Contains(text, "\n") {
		t.Fatalf("no event: %q", data)
	}
	if err := json.Unmarshal([]byte(text), &s); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	return s
}

// still is a watcher that does nothing by itself, as its ticks are the test's.
func still(f *fake) *watcher {
	p := New(f, nil)
	p.sample = time.Hour
	return newWatcher(p)
}

func join(t *testing.T, w *watcher) *viewer {
	t.Helper()
	v := &viewer{frames: make(chan []byte, queue), joined: make(chan bool, 1)}
	w.enter(t.Context(), v)
	if !<-v.joined {
		return nil
	}
	return v
}

// One status is asked for at a time whoever looks, and none while nobody does and no sample is due.
func TestStatusIsAskedForOnceForAll(t *testing.T) {
	f := newFake("site-b")
	w := still(f)
	w.ticked(t.Context())
	if f.looks() != 1 || !w.sampled.After(w.begun) {
		t.Fatalf("%d looks, want one for the first sample", f.looks())
	}
	w.ticked(t.Context())
	if f.looks() != 1 {
		t.Errorf("%d looks, though nobody looks", f.looks())
	}
	var viewers []*viewer
	for range 3 {
		viewers = append(viewers, join(t, w))
	}
	w.ticked(t.Context())
	if f.looks() != 3 {
		t.Errorf("%d looks for three viewers, want one for the first of them and one for all", f.looks()-1)
	}
	for _, v := range viewers {
		w.drop(v)
	}
	w.ticked(t.Context())
	if f.looks() != 3 || w.picture.peers != nil {
		t.Errorf("%d looks, though nobody looks any more; kept: %v", f.looks(), w.picture.names)
	}
}

// A viewer gets everything, then what has changed.
func TestFramesHaveWhatChanged(t *testing.T) {
	f := newFake("site-b", "site-c")
	f.Add(history.Event{Kind: history.TunnelUp, Peer: "site-b"})
	w := still(f)
	first := join(t, w)
	hello, all := parse(t, <-first.frames), parse(t, <-first.frames)
	if !hello.Full || len(hello.Events) != 1 || all.Full || len(all.Names) != 2 || len(all.Peers) != 2 || len(all.Numbers) != 2 || all.Router == nil || len(all.Events) != 0 {
		t.Errorf("%+v\n%+v", hello, all)
	}
	f.Add(history.Event{Kind: history.Reload})
	second := join(t, w) // before the first has the event
	if got := parse(t, <-second.frames); !got.Full || len(got.Peers) != 2 || len(got.Numbers) != 2 || got.Router == nil || len(got.Events) != 1 {
		t.Errorf("%+v", got)
	}
	w.ticked(t.Context())
	for _, v := range []*viewer{first, second} {
		if got := parse(t, <-v.frames); got.Peers != nil || got.Names != nil || got.Router != nil || len(got.Numbers) != 2 || len(got.Events) != 1 || got.Events[0].Kind != history.Reload {
			t.Errorf("only counters and the history have changed: %+v", got)
		}
	}
	f.down("site-c", "no answer")
	w.ticked(t.Context())
	if got := parse(t, <-first.frames); len(got.Peers) != 1 || got.Peers[0].State != stateDown || got.Peers[0].Peer.Name != "site-c" || got.Names != nil || len(got.Events) != 2 {
		t.Errorf("%+v", got)
	}
	f.status.Peers = nil
	w.ticked(t.Context())
	if got := parse(t, <-first.frames); got.Names == nil || len(got.Names) != 0 {
		t.Errorf("all peers have gone: %+v", got)
	}
}

// A tunnel over two transports has counters of each, which are not shown: a peer is not sent again because they change.
func TestCountersOfWays(t *testing.T) {
	f := newFake("site-b")
	loss := 0.0
	f.change("site-b", func(p *status.Peer) {
		p.Tunnels[0].Transport, p.Tunnels[0].CarriedBy = "auto", "wireguard"
		p.Tunnels[0].Ways = []status.Carrier{{Transport: "tls", State: "up"}, {Transport: "wireguard", State: "up", Loss: &loss}}
	})
	w := still(f)
	v := join(t, w)
	<-v.frames
	if got := parse(t, <-v.frames); len(got.Peers) != 1 || got.Peers[0].Peer.Tunnels[0].CarriedBy != "wireguard" {
		t.Fatalf("%+v", got)
	}
	f.change("site-b", func(p *status.Peer) {
		lost := 0.1
		ways := []status.Carrier{p.Tunnels[0].Ways[0], p.Tunnels[0].Ways[1]}
		for i := range ways {
			ways[i].RTT, ways[i].Loss, ways[i].RxBytes, ways[i].TxBytes = status.Millis(time.Second), &lost, 1000, 2000
		}
		p.Tunnels[0].Ways = ways
	})
	w.ticked(t.Context())
	if got := parse(t, <-v.frames); got.Peers != nil || len(got.Numbers) != 1 {
		t.Errorf("only counters have changed: %+v", got)
	}
	f.change("site-b", func(p *status.Peer) { p.Tunnels[0].CarriedBy = "tls" })
	w.ticked(t.Context())
	if got := parse(t, <-v.frames); len(got.Peers) != 1 || got.Peers[0].Peer.Tunnels[0].CarriedBy != "tls" {
		t.Errorf("the other transport carries: %+v", got)
	}
}

func TestPeerStates(t *testing.T) {
	f := newFake("site-b")
	for _, c := range []struct {
		want   string
		change func(*status.Peer)
	}{
		{stateUp, func(*status.Peer) {}},
		{statePart, func(p *status.Peer) { p.Conditions = []status.Condition{{Kind: "addresses", Text: "x"}} }},
		{statePart, func(p *status.Peer) {
			second := p.Tunnels[0]
			second.State = "down"
			p.Conditions, p.Tunnels = nil, append(p.Tunnels, second)
		}},
		{stateDown, func(p *status.Peer) { p.Tunnels[0].BGP.State = "active" }},
		{stateUp, func(p *status.Peer) { p.Tunnel.State, p.BGP.State, p.Tunnels = "up", "established", nil }},
		{stateDown, func(p *status.Peer) { p.BGP.State = "idle" }},
	} {
		f.change("site-b", c.change)
		s, _ := f.Status(t.Context())
		if got := stateOf(s, s.Peers[0]); got != c.want {
			t.Errorf("%s, want %s: %+v", got, c.want, s.Peers[0])
		}
	}
}

// There are never more viewers than may be, and one that does not read keeps nobody waiting.
func TestViewersAreBounded(t *testing.T) {
	f := newFake("site-b")
	w := still(f)
	slow := join(t, w)
	good := join(t, w)
	<-good.frames
	for range maxViewers - 2 {
		if join(t, w) == nil {
			t.Fatalf("refused, with %d viewers", len(w.viewers))
		}
	}
	if join(t, w) != nil {
		t.Fatalf("%d viewers", len(w.viewers))
	}
	for range queue {
		w.ticked(t.Context())
		<-good.frames
	}
	if _, there := w.viewers[slow]; there || len(w.viewers) != 1 {
		t.Errorf("%d viewers, of which one reads", len(w.viewers))
	}
	n := 0
	for range slow.frames { // it is closed
		n++
	}
	if n != queue {
		t.Errorf("%d frames were kept", n)
	}
	if join(t, w) == nil {
		t.Error("there is no room, though they were dropped")
	}
}

// At a thousand peers a viewer gets no more than it must: 1.5 KB a peer at first, then 100 bytes for each whose
// counters have changed.
func TestFramesAreSmall(t *testing.T) {
	const peers = 1000
	var names []string
	for i := range peers {
		names = append(names, fmt.Sprintf("branch-%04d", i))
	}
	w := still(newFake(names...))
	v := join(t, w)
	<-v.frames
	if whole := len(<-v.frames); whole > 1500*peers {
		t.Errorf("the first frame has %d bytes", whole)
	}
	w.ticked(t.Context())
	data := <-v.frames
	if got := parse(t, data); len(got.Numbers) != peers || len(data) > 100*peers {
		t.Errorf("a frame for %d peers has %d bytes", len(got.Numbers), len(data))
	}
}

// What viewers who come at the same time get is kept once.
func TestWholePictureIsShared(t *testing.T) {
	w := still(newFake("site-b"))
	join(t, w)
	a, b := <-join(t, w).frames, <-join(t, w).frames
	if &a[0] != &b[0] {
		t.Error("two viewers have a picture each")
	}
}

// Over HTTP: a stream, its end when the daemon stops, and its refusal when there are too many viewers.
func TestEvents(t *testing.T) {
	f := newFake("site-b")
	url, stop := serve(t, New(f, nil))
	head, err := http.Head(url + "/events")
	if err != nil || head.StatusCode != http.StatusOK || head.Header.Get("Content-Type") != "text/event-stream" {
		t.Fatalf("%v %v", head, err)
	}
	head.Body.Close()
	var bodies []*bufio.Reader
	for range maxViewers {
		r, err := http.Get(url + "/events")
		if err != nil || r.StatusCode != http.StatusOK {
			t.Fatalf("%v %v", r, err)
		}
		defer r.Body.Close()
		bodies = append(bodies, bufio.NewReader(r.Body))
	}
	r, err := http.Get(url + "/events")
	if err != nil || r.StatusCode != http.StatusServiceUnavailable || r.Header.Get("Retry-After") == "" {
		t.Fatalf("%v %v", r, err)
	}
	if text, _ := io.ReadAll(r.Body); !strings.Contains(string(text), "look at this page already") {
		t.Errorf("%s", text)
	}
	r.Body.Close()
	line, err := bodies[0].ReadString('\n')
	if blank, _ := bodies[0].ReadString('\n'); err != nil || !parse(t, []byte(line+blank)).Full {
		t.Errorf("%v %s", err, line)
	}
	go stop()
	for _, b := range bodies {
		if _, err := io.Copy(io.Discard, b); err != nil && !strings.Contains(err.Error(), "EOF") && !strings.Contains(err.Error(), "reset") {
			t.Errorf("the stream ends with %v", err)
		}
	}
}

// answered is what a handler has answered.
type answered struct {
	code   int
	header http.Header
	body   string
}

func get(h http.Handler, path string, header ...string) answered {
	r := httptest.NewRequest(http.MethodGet, path, nil)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return answered{w.Code, w.Header(), w.Body.String()}
}

// The page's files hold no script or style in markup, and name no other place.
func TestAssets(t *testing.T) {
	p := New(newFake(), nil)
	files, _ := assets.ReadDir("assets")
	for _, file := range files {
		path, kind := "/"+file.Name(), types[file.Name()[strings.LastIndex(file.Name(), "."):]]
		if path == "/index.html" {
			path = "/"
		}
		r := get(p, path)
		text := r.body
		if r.code != http.StatusOK || kind == "" || r.header.Get("Content-Type") != kind || r.header.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s: %d %v", path, r.code, r.header)
		}
		policy := r.header.Get("Content-Security-Policy")
		if !strings.HasPrefix(policy, "default-src 'none'; script-src 'self'; style-src 'self';") || strings.Contains(policy, "unsafe") {
			t.Errorf("%s: %s", path, policy)
		}
		if again := get(p, path, "If-None-Match", r.header.Get("ETag")); again.code != http.StatusNotModified {
			t.Errorf("%s is sent again: %d", path, again.code)
		}
		text = strings.ReplaceAll(text, "http://www.w3.org/2000/svg", "")
		for _, bad := range []string{"http:", "https:", "//cdn", "@import", "innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "<style", " style=", " onclick=", " onload=", "localStorage"} {
			if strings.Contains(text, bad) {
				t.Errorf("%s has %s", path, bad)
			}
		}
	}
	if r := get(p, "/index.html"); r.code != http.StatusNotFound {
		t.Errorf("index.html: %d", r.code)
	}
	if r := get(p, "/assets/"); r.code != http.StatusNotFound {
		t.Errorf("assets/: %d", r.code)
	}
}

// A page of another site may lead to this one, and can neither ask nor watch.
func TestAnotherSite(t *testing.T) {
	f := newFake("site-b")
	f.why = answerOf
	url, _ := serve(t, New(f, nil))
	for path, want := range map[string]int{
		"/": 200, "/page.js": 200, "/events": 403, "/why.json?prefix=10.2.0.0/24": 403, "/samples.json?peer=site-b": 403,
	} {
		for _, site := range []string{"cross-site", "same-site"} {
			r, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, url+path, nil)
			r.Header.Set("Sec-Fetch-Site", site)
			got, err := http.DefaultClient.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			got.Body.Close()
			if got.StatusCode != want || got.Header.Get("Access-Control-Allow-Origin") != "" {
				t.Errorf("%s %s: %s", site, path, got.Status)
			}
		}
	}
}

func TestWhyJSON(t *testing.T) {
	f := newFake("site-b")
	f.why = answerOf
	p := New(f, nil)
	r := get(p, "/why.json?prefix=10.2.0.0/24")
	var y status.Why
	if err := json.Unmarshal([]byte(r.body), &y); err != nil || r.code != http.StatusOK || y.Prefix != "10.2.0.0/24" || len(y.Candidates) != 2 {
		t.Errorf("%v %d %+v", err, r.code, y)
	}
	for path, want := range map[string]string{
		"/why.json": `400 {"error":"a prefix, as 10.2.0.0/24, or an address is needed"}`,
		"/why.json?prefix=10.2.0.0/24&from=nobody":       `404 {"error":"there is no such peer"}`,
		"/why.json?prefix=10.2.0.0/99":                   `400 {"error":`,
		"/why.json?prefix=%3Cscript%3E":                  `400 {"error":`,
		"/samples.json":                                  `400 {"error":`,
		"/samples.json?" + strings.Repeat("peer=x&", 65): `400 {"error":`,
	} {
		r := get(p, path)
		if got := fmt.Sprint(r.code, " ", r.body); !strings.HasPrefix(got, want) || r.header.Get("Content-Type") != "application/json" {
			t.Errorf("%s: %s", path, got)
		}
	}
	f.why = nil
	if r := get(p, "/why.json?prefix=10.2.0.0/24"); r.code != http.StatusServiceUnavailable {
		t.Errorf("%d", r.code)
	}
}

// Few questions about prefixes are worked on at a time; the others wait for their turn.
func TestWhysAreBounded(t *testing.T) {
	f := newFake("site-b")
	at, more := make(chan struct{}, 8), make(chan struct{})
	f.why = func(q status.WhyQuestion) (status.Why, error) {
		at <- struct{}{}
		<-more
		return answerOf(q)
	}
	p := New(f, nil)
	answers := make(chan int, maxWhys+1)
	ask := func(ctx context.Context) {
		w := httptest.NewRecorder()
		p.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/why.json?prefix=10.2.0.0/24", nil).WithContext(ctx))
		answers <- w.Code
	}
	for range maxWhys {
		go ask(t.Context())
		<-at
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	ask(ctx) // it would wait, and who asked has gone
	if code := <-answers; code != http.StatusServiceUnavailable {
		t.Errorf("a question too many: %d", code)
	}
	close(more)
	for range maxWhys {
		if code := <-answers; code != http.StatusOK {
			t.Errorf("%d", code)
		}
	}
}
