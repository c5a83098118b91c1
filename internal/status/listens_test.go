package status

import (
	"net"
	"testing"
)

func TestListens(t *testing.T) {
	path := socketPath(t)
	if Listens(t.Context(), path) {
		t.Error("at a socket that is not there")
	}
	stop := start(t, Config{Socket: path})
	if !Listens(t.Context(), path) {
		t.Error("not at that of a daemon")
	}
	stop()
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false) // as after a kill
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if Listens(t.Context(), path) {
		t.Error("at a socket that was left")
	}
}
