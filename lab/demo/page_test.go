package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// The page of a kept demo is handed on to browsers that name this machine, event by event, and no longer than
// there is a demo.
func TestPageIsForwarded(t *testing.T) {
	dir, err := os.MkdirTemp("", "page") // a socket's path is short
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	socket := filepath.Join(dir, "http.sock")
	behind, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	more := make(chan struct{})
	router := &httptest.Server{Listener: behind, Config: &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodHead {
			return
		}
		w.Header().Set("Content-Type", "text/event-stream")
		for i := range 2 {
			fmt.Fprintf(w, "data: %d\n\n", i)
			_ = http.NewResponseController(w).Flush()
			<-more
		}
	})}}
	router.Start()
	defer router.Close()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- showPage(t.Context(), l, socket) }()

	_, port, _ := net.SplitHostPort(l.Addr().String())
	for host, want := range map[string]int{
		"attacker.example:" + port: http.StatusForbidden, "attacker.example": http.StatusForbidden, "127.0.0.1": http.StatusForbidden,
		"localhost:" + port: http.StatusOK, "localhost:9999": http.StatusOK, l.Addr().String(): http.StatusOK,
	} {
		r, _ := http.NewRequestWithContext(t.Context(), http.MethodHead, "http://"+l.Addr().String()+"/", nil)
		r.Host = host
		got, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		got.Body.Close()
		if got.StatusCode != want {
			t.Errorf("%s: %s", host, got.Status)
		}
	}
	r, err := http.Get("http://" + l.Addr().String() + "/events")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	lines := bufio.NewReader(r.Body)
	for i := range 2 { // each comes before the next is sent
		if line, err := lines.ReadString('\n'); err != nil || line != fmt.Sprintf("data: %d\n", i) {
			t.Fatalf("%q %v", line, err)
		}
		_, _ = lines.ReadString('\n')
		more <- struct{}{}
	}
	_, _ = io.Copy(io.Discard, lines)
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-ended:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(time.Minute):
		t.Error("the page is shown though the demo has gone")
	}
}
