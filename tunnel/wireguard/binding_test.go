package wireguard

import (
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// An underlay is not gone because it cannot be looked at for a moment.
func TestUnderlayStaysWithoutDescriptors(t *testing.T) {
	e := NewEndpoint(Config{Control: func(string) func(string, string, syscall.RawConn) error {
		return func(string, string, syscall.RawConn) error { return nil }
	}})
	if err := e.SetListenPort(0); err != nil {
		t.Fatal(err)
	}
	defer e.free.current.Load().close()
	o := e.binding("lo")
	defer e.release("lo")
	before := o.current.Load()
	if before.err != nil {
		t.Fatal(before.err)
	}
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	few := limit
	few.Cur = 3 // what is open stays so
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &few); err != nil {
		t.Fatal(err)
	}
	e.mend()
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	if o.current.Load() != before {
		t.Errorf("the sockets were closed: %v", o.problem())
	}
}
