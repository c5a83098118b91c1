package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"net/http/httputil"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"warren/lab/topo"
)

const (
	pageAddress = "127.0.0.1:8179" // where the page of a kept demo is, if that is free
	// listenerFD is the descriptor of the listener that background gives to the process it starts.
	listenerFD = 3
	gonePoll   = time.Second
)

// pageSocket is the path of [api] http. Namespaces share the file system, so the page can be reached from
// outside by a unix socket, which no browser opens by itself: showPage does it for one.
func pageSocket(w *topo.Warren) string { return filepath.Join(w.Dir, "http.sock") }

// keptPage is the socket of a kept demo's site-a.
func keptPage() string { return filepath.Join(os.TempDir(), name, "site-a", "http.sock") }

// background has a process of this program show site-a's page to browsers of this machine, and returns the
// address. The process ends by itself when the demo is taken down.
func background(socket string) (address string, err error) {
	l, err := net.Listen("tcp", pageAddress)
	if errors.Is(err, syscall.EADDRINUSE) {
		l, err = net.Listen("tcp", "127.0.0.1:0")
	}
	if err != nil {
		return "", err
	}
	defer l.Close()
	file, err := l.(*net.TCPListener).File()
	if err != nil {
		return "", err
	}
	defer file.Close()
	self, err := os.Executable()
	if err != nil {
		return "", err
	}
	cmd := exec.Command(self, "-page", "-socket", socket, "-inherited")
	cmd.ExtraFiles = []*os.File{file}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // it outlives this program and its terminal
	if err := cmd.Start(); err != nil {
		return "", err
	}
	return l.Addr().String(), cmd.Process.Release()
}

// pageCommand is -page: it shows the page until ctx is done or the demo is taken down.
func pageCommand(ctx context.Context, socket string, inherited bool) error {
	if _, err := os.Stat(socket); err != nil {
		return fmt.Errorf("%w: is there a demo? Start one with `make demo KEEP=1`", err)
	}
	l, err := pageListener(inherited)
	if err != nil {
		return err
	}
	if !inherited {
		fmt.Printf("the status page of site-a is at http://%s/ until you interrupt this\n", l.Addr())
	}
	return showPage(ctx, l, socket)
}

func pageListener(inherited bool) (net.Listener, error) {
	if !inherited {
		return net.Listen("tcp", pageAddress)
	}
	file := os.NewFile(listenerFD, "listener")
	defer file.Close()
	return net.FileListener(file)
}

// showPage shows the page at socket to browsers that come to l, until ctx is done or the socket's directory
// has gone.
func showPage(ctx context.Context, l net.Listener, socket string) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	server := &http.Server{Handler: forward(l.Addr().String(), socket), ReadHeaderTimeout: 5 * time.Second}
	go func() {
		for exists(socket) && ctx.Err() == nil {
			select {
			case <-ctx.Done():
			case <-time.After(gonePoll):
			}
		}
		_ = server.Close()
	}()
	if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// exists is false when the demo that had the socket was taken down, not while its daemon starts again.
func exists(socket string) bool {
	_, err := os.Stat(filepath.Dir(socket))
	return !errors.Is(err, fs.ErrNotExist)
}

// forward hands on what names this address. The router can't check that, as any name is good at a unix socket.
func forward(address, socket string) http.Handler {
	proxy := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) { r.Out.URL.Scheme, r.Out.URL.Host = "http", "warren" },
		Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", socket)
		}},
	}
	_, port, _ := net.SplitHostPort(address)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if host, _, _ := net.SplitHostPort(r.Host); r.Host != address && host != "localhost" {
			http.Error(w, "ask for http://localhost:"+port+"/", http.StatusForbidden)
			return
		}
		proxy.ServeHTTP(w, r)
	})
}
