package status

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	dirMode    = 0o755
	socketMode = 0o600
	// A client that sends nothing, or reads nothing, must not hold the server.
	readTimeout = 5 * time.Second
	stopTimeout = 2 * time.Second
	probeTime   = time.Second
)

// ErrRunning says that a living daemon holds the socket.
var ErrRunning = errors.New("another warren is running")

// Config is what a Server needs. Its functions may be called from several
// goroutines at once.
type Config struct {
	Socket string // path; its directory is made if it is missing
	Source func(context.Context) (Status, error)
	Reload func(context.Context) (ReloadResult, error)
	// SetLogLevel changes the level of the log to the one of that name; its error
	// says which there are. nil: it cannot be changed.
	SetLogLevel func(name string) error
	Logger      *slog.Logger // nil means slog.Default()
}

// Server answers `warren status`, `warren reload` and `warren log-level`.
type Server struct {
	config Config
	ready  chan struct{}
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
	return &Server{config: c, ready: make(chan struct{})}, nil
}

// Ready is closed once the socket is listening.
func (s *Server) Ready() <-chan struct{} { return s.ready }

// Run listens on the socket and serves until ctx is done; then it removes the
// socket and returns nil. An error says why it cannot listen: one that wraps
// ErrRunning, that another daemon holds the socket. Call it once.
//
// The lock beside the socket stays: removing it would let two daemons that
// start at the same moment each hold a different file of that name.
func (s *Server) Run(ctx context.Context) error {
	lock, err := s.lock()
	if err != nil {
		return err
	}
	defer func() { _ = lock.Close() }()
	l, err := s.listen(ctx)
	if err != nil {
		return err
	}
	close(s.ready)
	server := &http.Server{
		Handler:           s.handler(ctx),
		ReadTimeout:       readTimeout,
		ReadHeaderTimeout: readTimeout,
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

// lock makes sure that no two daemons use the same socket. The kernel releases
// it when the process ends, however it ends.
func (s *Server) lock() (*os.File, error) {
	if err := os.MkdirAll(filepath.Dir(s.config.Socket), dirMode); err != nil {
		return nil, fmt.Errorf("status: make the socket's directory: %w", err)
	}
	f, err := os.OpenFile(s.config.Socket+".lock", os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("status: open the socket's lock: %w", err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		_ = f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, fmt.Errorf("%w: it holds %s; stop it first, or give this one another api.socket", ErrRunning, s.config.Socket)
		}
		return nil, fmt.Errorf("status: lock %s: %w", f.Name(), err)
	}
	return f, nil
}

func (s *Server) listen(ctx context.Context) (net.Listener, error) {
	if err := s.removeStale(); err != nil {
		return nil, err
	}
	lc := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		var chmodErr error
		// The file that bind makes takes its mode from the socket, so there is
		// no moment at which others could connect.
		err := c.Control(func(fd uintptr) { chmodErr = unix.Fchmod(int(fd), socketMode) })
		return errors.Join(err, chmodErr)
	}}
	l, err := lc.Listen(ctx, "unix", s.config.Socket)
	if err != nil {
		return nil, fmt.Errorf("status: listen on %s: %w", s.config.Socket, err)
	}
	return l, nil
}

// removeStale removes what a killed daemon left, and nothing else.
func (s *Server) removeStale() error {
	info, err := os.Lstat(s.config.Socket)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return nil
	case err != nil:
		return fmt.Errorf("status: look for an old socket: %w", err)
	case info.Mode().Type() != os.ModeSocket:
		return fmt.Errorf("status: %s is there and is no socket: move it away, or set another api.socket", s.config.Socket)
	}
	// Whoever holds no lock may still be listening: the lock may have been removed by hand.
	if c, err := net.DialTimeout("unix", s.config.Socket, probeTime); err == nil {
		_ = c.Close()
		return fmt.Errorf("%w: it answers at %s; stop it first, or give this one another api.socket", ErrRunning, s.config.Socket)
	}
	if err := os.Remove(s.config.Socket); err != nil {
		return fmt.Errorf("status: remove an old socket: %w", err)
	}
	return nil
}

func (s *Server) handler(run context.Context) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /status", func(w http.ResponseWriter, r *http.Request) {
		v, err := s.config.Source(r.Context())
		s.answer(w, v, err)
	})
	mux.HandleFunc("POST /reload", func(w http.ResponseWriter, _ *http.Request) {
		// A reload that has begun goes on when the one who asked has gone.
		v, err := s.config.Reload(run)
		s.answer(w, v, err)
	})
	if s.config.SetLogLevel != nil {
		mux.HandleFunc("POST /log-level", func(w http.ResponseWriter, r *http.Request) {
			s.answer(w, struct{}{}, s.config.SetLogLevel(r.URL.Query().Get("level")))
		})
	}
	return mux
}

// failure is the body of an answer that is not 200.
type failure struct {
	Error string `json:"error"`
}

func (s *Server) answer(w http.ResponseWriter, v any, err error) {
	code := http.StatusOK
	if err != nil {
		code, v = http.StatusInternalServerError, failure{err.Error()}
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	if err := json.NewEncoder(w).Encode(v); err != nil {
		s.config.Logger.Debug("the status client went away", "err", err)
	}
}
