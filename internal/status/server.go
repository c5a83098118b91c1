package status

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"time"

	"warren/internal/history"
	"warren/internal/socket"
)

const (
	socketMode = 0o600
	// A client that sends nothing, or reads nothing, must not hold the server.
	readTimeout  = 5 * time.Second
	writeTimeout = 5 * time.Second
	stopTimeout  = 2 * time.Second
	maxClients   = 64
	maxHeader    = 16 << 10
	maxQuestion  = 64 << 10
)

// ErrRunning says that a living daemon holds the socket.
var ErrRunning = errors.New("another warren is running")

// Config is what a Server needs. Its functions may be called from several
// goroutines at once.
type Config struct {
	Socket string // path; its directory is made if it is missing
	// Resume is the socket that the program before has left in this process; nil: there is none.
	Resume *socket.Handover
	Source func(context.Context) (Status, error)
	Reload func(ctx context.Context, uid int64) (ReloadResult, error) // for that user; -1: not known
	// Foresee says what Reload would do. Try is Reload that is taken back unless Confirm comes within a
	// time. nil: these cannot be asked.
	Foresee func(context.Context) (Foretold, error)
	Try     func(ctx context.Context, uid int64, within time.Duration) (ReloadResult, error)
	Confirm func(ctx context.Context, uid int64) (ReloadResult, error)
	// Undo takes back at once what waits for Confirm. nil: it cannot be asked.
	Undo func(ctx context.Context, uid int64) (ReloadResult, error)
	// Restart has the daemon replace itself. leave takes the connection that asks out of the server, for
	// the next program to answer on by [Answer]; after that the result is not looked at. nil: it cannot be asked.
	Restart func(ctx context.Context, leave func() (*os.File, error)) (RestartResult, error)
	// Do does what an operator asks for, for that user. The error wraps ErrNoPeer where there is no such peer. nil:
	// it cannot be asked.
	Do func(ctx context.Context, o Order, uid int64) (OrderResult, error)
	// Routes returns the ways of a prefix, of the longest that an address is in, or, of the zero
	// prefix, of all. nil: it cannot be asked.
	Routes func(context.Context, netip.Prefix) (Routes, error)
	// Why says what became of the routes to a prefix. The error wraps ErrNoPeer where one is asked for
	// that there is not. nil: it cannot be asked.
	Why func(context.Context, WhyQuestion) (Why, error)
	// SetLogLevel changes the level of the log to the one of that name; its error
	// says which there are. nil: it cannot be changed.
	SetLogLevel func(name string) error
	History     *history.Log // nil: there is none
	Logger      *slog.Logger // nil means slog.Default()
}

// Server answers `warren status`, `warren reload` and `warren log-level`.
type Server struct {
	config   Config
	ready    chan struct{}
	listener socket.Handed // of Run; once ready
	read     time.Duration // readTimeout, but in tests
}

// New makes a Server; it listens when it runs.
func New(c Config) (*Server, error) {
	switch {
	case c.Socket == "":
		return nil, errors.New("status: no path for the socket")
	case c.Source == nil || c.Reload == nil:
		return nil, errors.New("status: Source and Reload are required")
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	return &Server{config: c, ready: make(chan struct{}), read: readTimeout}, nil
}

// Ready is closed once the socket is listening.
func (s *Server) Ready() <-chan struct{} { return s.ready }

// Run listens on the socket and serves until ctx is done; then it removes the
// socket and returns nil. An error says why it cannot listen: one that wraps
// ErrRunning, that another daemon holds the socket. Call it once.
func (s *Server) Run(ctx context.Context) error {
	l, err := s.listen(ctx)
	if err != nil {
		return err
	}
	defer l.Close()
	close(s.ready)
	server := &http.Server{
		Handler:           http.MaxBytesHandler(s.handler(ctx), maxQuestion),
		ReadTimeout:       s.read,
		ReadHeaderTimeout: s.read,
		IdleTimeout:       s.read,
		MaxHeaderBytes:    maxHeader,
		ConnContext:       withUser,
		ErrorLog:          slog.NewLogLogger(s.config.Logger.Handler(), slog.LevelDebug),
	}
	stopped := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(stopped)
		ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
		defer cancel()
		if server.Shutdown(ctx) != nil {
			_ = server.Close()
		}
	})
	err = server.Serve(l)
	if stop() { // it was not ctx
		_ = server.Close()
		return fmt.Errorf("status: serve on %s: %w", s.config.Socket, err)
	}
	<-stopped
	return nil
}

// listen takes the socket, or says which daemon has it.
func (s *Server) listen(ctx context.Context) (net.Listener, error) {
	if h := s.config.Resume; h != nil {
		l, err := socket.Adopt(s.config.Socket, *h)
		if err == nil {
			s.listener = l
			return socket.Limit(l, maxClients), nil
		}
		s.config.Logger.Warn("the socket of the program before cannot be taken over and is made again", "err", err)
	}
	l, err := socket.ListenUnix(ctx, s.config.Socket, socketMode)
	if errors.Is(err, socket.ErrHeld) {
		return nil, fmt.Errorf("%w at %s (%w); stop it first, or give this one another api.socket", ErrRunning, s.config.Socket, err)
	}
	if err != nil {
		return nil, fmt.Errorf("status: %w; api.socket can name another", err)
	}
	s.listener, _ = l.(socket.Handed)
	return socket.Limit(l, maxClients), nil
}

// HandOver describes the socket for the next program, once the Server is ready. The descriptors stay the Server's.
func (s *Server) HandOver() (socket.Handover, error) { return s.listener.HandOver() }

func (s *Server) handler(run context.Context) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /status", func(w http.ResponseWriter, r *http.Request) {
		v, err := s.config.Source(r.Context())
		s.answer(w, v, err)
	})
	if s.config.Routes != nil {
		mux.HandleFunc("GET /routes", func(w http.ResponseWriter, r *http.Request) {
			of, err := ParseRoutesOf(r.URL.Query().Get("of"))
			var v Routes
			if err == nil {
				v, err = s.config.Routes(r.Context(), of)
			}
			s.answer(w, v, err)
		})
	}
	if s.config.Why != nil {
		mux.HandleFunc("GET /why", func(w http.ResponseWriter, r *http.Request) {
			values := r.URL.Query()
			q, err := ParseWhy(values.Get("of"))
			var v Why
			if err == nil {
				q.From, q.To = values.Get("from"), values.Get("to")
				v, err = s.config.Why(r.Context(), q)
			}
			s.answer(w, v, err)
		})
	}
	mux.HandleFunc("POST /reload", func(w http.ResponseWriter, r *http.Request) {
		// A reload that has begun goes on when the one who asked has gone.
		v, err := s.config.Reload(run, userOf(r.Context()))
		s.answer(w, v, err)
	})
	s.foresee(run, mux)
	s.undo(run, mux)
	if s.config.Do != nil {
		mux.HandleFunc("POST /order", func(w http.ResponseWriter, r *http.Request) { s.order(run, w, r) })
	}
	if s.config.Restart != nil {
		mux.HandleFunc("POST /restart", func(w http.ResponseWriter, _ *http.Request) { s.restart(run, w) })
	}
	if s.config.History != nil {
		mux.HandleFunc("GET /history", func(w http.ResponseWriter, r *http.Request) { s.history(run, w, r) })
	}
	if s.config.SetLogLevel != nil {
		mux.HandleFunc("POST /log-level", func(w http.ResponseWriter, r *http.Request) {
			s.answer(w, struct{}{}, s.config.SetLogLevel(r.URL.Query().Get("level")))
		})
	}
	return mux
}

type userKey struct{}

// withUser notes which user is at the other end, as the kernel says it (SO_PEERCRED).
func withUser(ctx context.Context, c net.Conn) context.Context {
	if c, ok := c.(interface{ User() (int64, bool) }); ok {
		uid, _ := c.User()
		ctx = context.WithValue(ctx, userKey{}, uid)
	}
	return ctx
}

func userOf(ctx context.Context) int64 {
	if uid, ok := ctx.Value(userKey{}).(int64); ok {
		return uid
	}
	return -1
}

// failure is the body of an answer that is not 200.
type failure struct {
	Error  string `json:"error"`
	NoPeer bool   `json:"no_peer,omitempty"` // it is ErrNoPeer
}

func (s *Server) answer(w http.ResponseWriter, v any, err error) {
	code := http.StatusOK
	if err != nil {
		code = http.StatusInternalServerError
		f := failure{Error: err.Error(), NoPeer: errors.Is(err, ErrNoPeer)}
		if f.NoPeer {
			code = http.StatusNotFound
		}
		v = f
	}
	body, err := json.Marshal(v)
	if err != nil {
		s.config.Logger.Error("cannot write a status answer", "err", err)
		code = http.StatusInternalServerError
	}
	w.Header().Set("Content-Type", "application/json")
	// From now, not from the question: a reload takes its time.
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(writeTimeout))
	w.WriteHeader(code)
	if _, err := w.Write(body); err != nil {
		s.config.Logger.Debug("the status client went away", "err", err)
	}
}
