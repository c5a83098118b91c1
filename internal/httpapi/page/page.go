package page

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"warren/internal/history"
	"warren/internal/status"
)

// Source is what the page shows. Its methods may be called from several goroutines at once.
type Source interface {
	// Status is the state of the daemon now.
	Status(context.Context) (status.Status, error)
	// Why says what became of the routes to a prefix. The error wraps status.ErrNoPeer where one is asked
	// for that there is not.
	Why(context.Context, status.WhyQuestion) (status.Why, error)
	// Events are those of the history, as history.Log.Select gives them.
	Events(history.Query) (events []history.Event, next uint64, changed <-chan struct{})
}

const (
	// maxViewers have the page open at the same time: as many as the server takes connections, since that
	// one chooses fairly which goes when there is another.
	maxViewers = 64
	queue      = 8           // frames that a viewer may be behind, which are as many seconds
	tick       = time.Second // between two pictures
	askWithin  = 5 * time.Second
	maxWhys    = 2   // questions about prefixes at a time
	maxReads   = 4   // questions for samples at a time, whose answers have up to 1 MB
	firstShown = 200 // events of the history that a new viewer gets
)

// Page is the handler of the status page. Its pages are served while Run runs.
type Page struct {
	source  Source
	log     *slog.Logger
	mux     *http.ServeMux
	tick    time.Duration
	sample  time.Duration
	join    chan *viewer
	leave   chan *viewer
	samples chan samplesQuestion
	whys    chan struct{} // has an element for each question that is worked on
	reads   chan struct{} // likewise
	stopped chan struct{}
	hour    hour // Run's alone
}

// New makes a Page. log may be nil, which means slog.Default().
func New(source Source, log *slog.Logger) *Page {
	if log == nil {
		log = slog.Default()
	}
	p := &Page{
		source: source, log: log, tick: tick, sample: sampleInterval,
		join: make(chan *viewer), leave: make(chan *viewer), samples: make(chan samplesQuestion),
		whys: make(chan struct{}, maxWhys), reads: make(chan struct{}, maxReads), stopped: make(chan struct{}),
	}
	p.mux = p.routes()
	return p
}

// ServeHTTP implements http.Handler.
func (p *Page) ServeHTTP(w http.ResponseWriter, r *http.Request) { p.mux.ServeHTTP(w, r) }

// viewer is one who has the page open. Run alone sends frames, and closes them when the viewer is to go.
type viewer struct {
	frames chan []byte
	joined chan bool // one answer: whether there was room
}

// samplesQuestion asks for the last hour of some peers.
type samplesQuestion struct {
	peers  []string
	answer chan samples // has room for it
}

// watcher is the state of Run.
type watcher struct {
	*Page
	begun   time.Time
	viewers map[*viewer]struct{}
	picture picture   // empty while there are no viewers
	whole   []byte    // picture for one who has nothing yet; nil: nobody has asked since it was taken
	sampled time.Time // when it was done last
	events  uint64    // number of the first event that viewers do not have
	failed  bool      // the last status could not be had
}

// Run takes samples and serves viewers until ctx is done. Then the viewers are sent away. Call it once.
func (p *Page) Run(ctx context.Context) error {
	defer close(p.stopped)
	w := newWatcher(p)
	defer w.dismiss()
	ticker := time.NewTicker(p.tick)
	defer ticker.Stop()
	for w.look(ctx); ; {
		select {
		case <-ctx.Done():
			return nil
		case v := <-p.join:
			w.enter(ctx, v)
		case v := <-p.leave:
			w.drop(v)
		case q := <-p.samples:
			q.answer <- w.hour.of(q.peers)
		case <-ticker.C:
			w.ticked(ctx)
		}
	}
}

func newWatcher(p *Page) *watcher {
	return &watcher{Page: p, begun: time.Now(), viewers: map[*viewer]struct{}{}}
}

// ticked looks if somebody else does, or if a sample is due.
func (w *watcher) ticked(ctx context.Context) {
	if len(w.viewers) > 0 || time.Since(w.sampled) >= w.sample-w.tick/2 {
		w.look(ctx)
	}
}

// look takes a status, a sample if one is due, and sends the viewers what is new.
func (w *watcher) look(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, askWithin)
	defer cancel()
	s, err := w.source.Status(ctx)
	if err != nil {
		if !w.failed && ctx.Err() == nil {
			w.log.Warn("the status page gets no status", "err", err)
		}
		w.failed = true
		w.send(frame{Trouble: "the daemon does not say what its state is: " + err.Error()})
		return
	}
	w.failed = false
	now := time.Now()
	due := now.Sub(w.sampled) >= w.sample-w.tick/2
	if due {
		w.sampled = now
		w.hour.add(now, s)
	}
	if len(w.viewers) == 0 {
		return
	}
	w.whole = nil
	f := w.picture.update(s)
	f.AtMS, f.Sampled = now.Sub(w.begun).Milliseconds(), due
	var events []history.Event
	events, w.events, _ = w.source.Events(history.Query{From: w.events})
	f.Events = last(events, firstShown)
	w.send(f)
}

func last(events []history.Event, n int) []history.Event { return events[max(0, len(events)-n):] }

// enter lets a viewer in, if there is room, and sends it everything.
func (w *watcher) enter(ctx context.Context, v *viewer) {
	if len(w.viewers) >= maxViewers {
		v.joined <- false
		return
	}
	v.joined <- true
	w.viewers[v] = struct{}{}
	if len(w.viewers) > 1 {
		w.sendTo(v, w.wholePicture())
		return
	}
	// Nobody has looked, so there is no picture.
	var events []history.Event
	events, w.events, _ = w.source.Events(history.Query{Last: firstShown})
	w.sendTo(v, frame{Full: true, Events: events}.bytes())
	w.look(ctx)
}

// wholePicture is a frame for one who has nothing, with the events that the others have. All who come before
// the next picture get the same bytes.
func (w *watcher) wholePicture() []byte {
	if w.whole == nil {
		events, next, _ := w.source.Events(history.Query{})
		sent := max(0, len(events)-int(next-w.events))
		f := w.picture.frame()
		f.AtMS, f.Full, f.Events = time.Since(w.begun).Milliseconds(), true, last(events[:sent], firstShown)
		w.whole = f.bytes()
	}
	return w.whole
}

// send sends a frame to all viewers.
func (w *watcher) send(f frame) {
	if len(w.viewers) == 0 {
		return
	}
	data := f.bytes()
	for v := range w.viewers {
		w.sendTo(v, data)
	}
}

// sendTo drops a viewer that has not read for too long.
func (w *watcher) sendTo(v *viewer, data []byte) {
	select {
	case v.frames <- data:
	default:
		w.log.Debug("a viewer of the status page reads too slowly and is dropped")
		w.drop(v)
	}
}

// drop forgets a viewer, if it is one.
func (w *watcher) drop(v *viewer) {
	if _, ok := w.viewers[v]; !ok {
		return
	}
	delete(w.viewers, v)
	close(v.frames)
	if len(w.viewers) == 0 {
		w.picture, w.whole = picture{}, nil
	}
}

func (w *watcher) dismiss() {
	for v := range w.viewers {
		w.drop(v)
	}
}
