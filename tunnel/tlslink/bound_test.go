package tlslink

import (
	"net"
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"

	"warren/tunnel/internal/sysio"
)

// boundListeners returns the listeners of underlays, and what they are bound to.
func (e *end) boundListeners() map[boundTo]bound {
	e.endpoint.mu.Lock()
	defer e.endpoint.mu.Unlock()
	all := make(map[boundTo]bound)
	for at, b := range e.endpoint.bound {
		all[at] = b
	}
	return all
}

// device is the interface that a listener is bound to, "" for none.
func device(t *testing.T, l net.Listener) (name string) {
	t.Helper()
	raw, err := l.(*net.TCPListener).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var failed error
	err = raw.Control(func(fd uintptr) { name, failed = unix.GetsockoptString(int(fd), unix.SOL_SOCKET, unix.SO_BINDTODEVICE) })
	if err != nil || failed != nil {
		t.Fatal(err, failed)
	}
	return name
}

// onlyBound returns the one listener that there is of underlays, which listens on addr.
func (e *end) onlyBound(addr netip.AddrPort) bound {
	e.t.Helper()
	all := e.boundListeners()
	b, ok := all[boundTo{"lo", addr}]
	if !ok || len(all) != 1 {
		e.t.Fatalf("the listeners of underlays are %v", all)
	}
	if name := device(e.t, b.Listener); name != "lo" {
		e.t.Errorf("the listener of lo is bound to %q", name)
	}
	return b
}

// An endpoint listens also by the underlay that a link names, on the port that it has anyway, and what
// comes there is served. Without the link, or with other addresses, it does not.
func TestListensByUnderlay(t *testing.T) {
	a, b := secretPair(t)
	b.cfg.Underlay = "lo"
	asked := netip.MustParseAddrPort("127.0.0.1:0")
	if all := b.boundListeners(); len(all) != 0 {
		t.Fatalf("before there is a link: %v", all)
	}
	b.start(secretTrust(0))
	by := b.onlyBound(asked)
	if got, want := by.Addr().String(), b.addr(); got != want {
		t.Errorf("it listens on %s, and the unbound socket on %s", got, want)
	}

	// The bound listener alone is left to answer, as the kernel prefers it.
	b.endpoint.mu.Lock()
	free := b.endpoint.listeners[asked]
	b.endpoint.mu.Unlock()
	if name := device(t, free); name != "" {
		t.Errorf("the unbound socket is bound to %q", name)
	}
	remote := b.addr()
	free.Close()
	a.start(secretTrust(0), remote)
	if !a.waitEvents(1)[0].Up || !b.waitEvents(1)[0].Up {
		t.Error("no tunnel by the listener of the underlay")
	}

	other := netip.MustParseAddrPort("127.0.0.2:0")
	if err := b.endpoint.SetListen([]netip.AddrPort{other}); err != nil {
		t.Fatal(err)
	}
	if b.onlyBound(other); by.Close() == nil {
		t.Error("what is not listened on any more is still open by the underlay")
	}
	b.halt(nil)
	if all := b.boundListeners(); len(all) != 0 {
		t.Errorf("without the link: %v", all)
	}
}

// Where the interface is another one by now the listener is replaced; where there is none there is no listener, and one
// that does not succeed is said once.
func TestUnderlayIsAnotherInterface(t *testing.T) {
	_, b := secretPair(t)
	b.cfg.Underlay = "lo"
	b.start(secretTrust(0))
	asked := netip.MustParseAddrPort("127.0.0.1:0")
	lo, err := sysio.InterfaceIndex("lo")
	if err != nil {
		t.Fatal(err)
	}
	before := b.onlyBound(asked)
	rebind := func() {
		b.endpoint.mu.Lock()
		b.endpoint.rebindLocked()
		b.endpoint.mu.Unlock()
	}
	if rebind(); b.onlyBound(asked) != before {
		t.Error("a listener is replaced though its interface is the same")
	}
	b.endpoint.mu.Lock()
	b.endpoint.bound[boundTo{"lo", asked}] = bound{before.Listener, lo + 1000}
	b.endpoint.rebindLocked()
	b.endpoint.mu.Unlock()
	if now := b.onlyBound(asked); now.index != lo || now.Listener == before.Listener || before.Close() == nil {
		t.Errorf("the interface is another one, and the listener is %+v", now)
	}

	b.halt(nil)
	b.cfg.Underlay = "not-there"
	b.start(secretTrust(0))
	if all := b.boundListeners(); len(all) != 0 {
		t.Errorf("by an interface that is not there: %v", all)
	}
}
