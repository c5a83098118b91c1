package status

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
)

// RestartResult is what became of a restart: the version that runs now, or why the daemon goes on as it was.
type RestartResult struct {
	Version string   `json:"version"`
	Errors  []string `json:"errors"`
}

// Restart has the daemon at socket replace itself by the program that is on disk now, and waits until that is
// ready. Why the old one goes on is in the result, not in the error.
func Restart(ctx context.Context, socket string) (RestartResult, error) {
	var r RestartResult
	err := ask(ctx, socket, http.MethodPost, "/restart", &r)
	return r, err
}

// Answer writes the answer to a question whose connection has left the server.
func Answer(w io.Writer, v any) error {
	body, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("status: %w", err)
	}
	resp := http.Response{
		StatusCode: http.StatusOK, ProtoMajor: 1, ProtoMinor: 1, Close: true,
		Header:        http.Header{"Content-Type": {"application/json"}},
		ContentLength: int64(len(body)), Body: io.NopCloser(strings.NewReader(string(body))),
	}
	if err := resp.Write(w); err != nil {
		return fmt.Errorf("status: answer: %w", err)
	}
	return nil
}

// restart answers the question for a restart, unless its connection leaves.
func (s *Server) restart(ctx context.Context, w http.ResponseWriter) {
	var left *os.File
	v, err := s.config.Restart(ctx, func() (f *os.File, err error) {
		left, err = hijack(w)
		return left, err
	})
	if left == nil {
		s.answer(w, v, err)
	}
}

// hijack takes the connection out of the server. The file is another descriptor of it.
func hijack(w http.ResponseWriter) (*os.File, error) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return nil, fmt.Errorf("status: %w", err)
	}
	defer conn.Close()
	inner, ok := conn.(interface{ NetConn() net.Conn })
	if !ok {
		return nil, errors.New("status: a connection of a kind that is not known")
	}
	u, ok := inner.NetConn().(*net.UnixConn)
	if !ok {
		return nil, errors.New("status: the connection is no unix socket")
	}
	return u.File()
}
