//go:build privileged

package engine

import (
	"errors"
	"net"
	"testing"

	"golang.org/x/sys/unix"
)

// forget closes the peer's connection as its router does that is switched off: nobody is told, and the kernel knows
// nothing of it any more.
func (p *rawPeer) forget() {
	p.t.Helper()
	p.vanished.Store(true)
	raw, err := p.conn.(*net.TCPConn).SyscallConn()
	if err != nil {
		p.t.Fatal(err)
	}
	var set error
	err = raw.Control(func(fd uintptr) { set = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_REPAIR, 1) })
	if err := errors.Join(err, set, p.conn.Close()); err != nil {
		p.t.Fatal(err)
	}
}

// TestTakeoverAfterRestart: a peer whose router was restarted, of which no word has come, is taken at once, since its
// kernel says that it does not know the old connection.
func TestTakeoverAfterRestart(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	s, far := tunnelSpeaker(t)
	add(t, s, "b", "10.179.0.1", "10.179.0.2")
	old := far.establish(s, "b", "10.179.0.2", "10.179.0.1")
	old.serve()
	since := statusOf(s, "b").Since
	old.forget()
	conn, err := far.dial("10.179.0.2", "10.179.0.1")
	if err != nil {
		t.Fatal(err)
	}
	p := &rawPeer{t: t, conn: conn, addr: old.addr}
	p.establish(64513, "10.0.0.2")
	waitState(t, s, "b", stateEstablished)
	if st := statusOf(s, "b"); st.Since.Equal(since) {
		t.Errorf("it is the old session: %+v", st)
	}
	if p := statusOf(s, "b").LastError; p != "" {
		t.Error(p)
	}
}
