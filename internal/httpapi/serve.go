package httpapi

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"warren/internal/socket"
)

const (
	// A client that sends nothing, or reads nothing, must not hold the server.
	readTimeout  = 5 * time.Second
	writeTimeout = 10 * time.Second // from the question on; a handler may set another deadline
	idleTimeout  = 30 * time.Second
	stopTimeout  = time.Second
	maxClients   = 64
	maxHeader    = 16 << 10
	maxBody      = 4 << 10
)

// Config is what a Server is made of.
type Config struct {
	Source  Source
	Version string // of the program
	// Page makes what answers at all paths that are not this package's. nil: "/" lists the paths there are.
	Page   func(Source) Page
	Logger *slog.Logger
}

// Page is the status page: the handler of "/" and of all that it needs. It gets only GET and HEAD that guard
// lets through, and may set other values of the headers that guard sets. The context of a request ends when
// the server stops. An answer has to be written within writeTimeout of its question, unless the
// handler sets another deadline ([http.ResponseController.SetWriteDeadline]).
type Page interface {
	http.Handler
	// Run is called once, and returns when ctx is done, which is when nothing is served any more.
	Run(ctx context.Context) error
}

// Server answers over HTTP. As long as it does not serve it takes next to no memory.
type Server struct {
	config      Config
	read, write time.Duration // readTimeout and writeTimeout, but in tests
}

// New makes a Server.
func New(c Config) *Server { return &Server{c, readTimeout, writeTimeout} }

// Serve answers on l, which it closes, until ctx is done; then it returns nil. It may be called again.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	defer l.Close()
	handler, page := s.newHandler()
	if page != nil {
		within, cancel := context.WithCancel(ctx)
		ended := make(chan error, 1)
		go func() { ended <- page.Run(within) }()
		defer func() { <-ended }()
		defer cancel()
	}
	server := &http.Server{
		Handler:                      guard(l.Addr(), http.MaxBytesHandler(handler, maxBody)),
		DisableGeneralOptionsHandler: true,
		ReadTimeout:                  s.read,
		ReadHeaderTimeout:            s.read,
		WriteTimeout:                 s.write,
		IdleTimeout:                  idleTimeout,
		MaxHeaderBytes:               maxHeader,
		BaseContext:                  func(net.Listener) context.Context { return ctx },
		ConnContext:                  withClient,
		ErrorLog:                     slog.NewLogLogger(s.config.Logger.Handler(), slog.LevelDebug),
	}
	stopped := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(stopped)
		within, cancel := context.WithTimeout(context.Background(), stopTimeout)
		defer cancel()
		if server.Shutdown(within) != nil {
			_ = server.Close()
		}
	})
	err := server.Serve(socket.Limit(l, maxClients))
	if stop() { // it was not ctx
		_ = server.Close()
		return fmt.Errorf("answer over HTTP at %v: %w", l.Addr(), err)
	}
	<-stopped
	return nil
}
