package sysio

import (
	"errors"
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

func TestReadAndWrite(t *testing.T) {
	var fds [2]int
	if err := unix.Pipe2(fds[:], unix.O_CLOEXEC|unix.O_NONBLOCK); err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fds[0])
	buf := make([]byte, 16)
	var p Pace
	for range 2 * ordinaryEvery { // both kinds of calls
		if _, err := p.Read(fds[0], buf); !errors.Is(err, unix.EAGAIN) || Readable(fds[0]) {
			t.Fatalf("read from an empty pipe: %v", err)
		}
		if n, err := Write(fds[1], []byte("hello")); n != 5 || err != nil || !Readable(fds[0]) {
			t.Fatalf("write: %d, %v", n, err)
		}
		if n, err := p.Read(fds[0], buf); string(buf[:max(n, 0)]) != "hello" || err != nil {
			t.Fatalf("read: %q, %v", buf[:max(n, 0)], err)
		}
	}
	if n, err := Write(fds[1], nil); n != 0 || err != nil {
		t.Fatalf("write of nothing: %d, %v", n, err)
	}
	unix.Close(fds[1])
	if n, err := p.Read(fds[0], buf); n != 0 || err != nil || !Readable(fds[0]) {
		t.Fatalf("at the end: %d, %v", n, err)
	}
	if _, err := Write(-1, buf); !errors.Is(err, unix.EBADF) {
		t.Fatalf("write to nowhere: %v", err)
	}
}

func TestSomeCallsAreOrdinary(t *testing.T) {
	var p Pace
	n := 0
	for range 10 * ordinaryEvery {
		if p.ordinary() {
			n++
		}
	}
	if n != 10 {
		t.Fatalf("%d ordinary calls, want 10", n)
	}
}

func TestMessages(t *testing.T) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fds[0])
	defer unix.Close(fds[1])
	buf := make([]byte, 16)
	header := func(b []byte) *unix.Msghdr {
		v := &unix.Iovec{Base: &b[0]}
		v.SetLen(len(b))
		h := &unix.Msghdr{Iov: v}
		h.SetIovlen(1)
		return h
	}
	var p Pace
	for range 2 * ordinaryEvery { // both kinds of calls
		if _, err := p.Recvmsg(fds[0], header(buf)); !errors.Is(err, unix.EAGAIN) {
			t.Fatalf("nothing received: %v", err)
		}
		if n, err := Sendmsg(fds[1], header([]byte("hello"))); n != 5 || err != nil {
			t.Fatalf("send: %d, %v", n, err)
		}
		if n, err := p.Recvmsg(fds[0], header(buf)); string(buf[:max(n, 0)]) != "hello" || err != nil {
			t.Fatalf("receive: %q, %v", buf[:max(n, 0)], err)
		}
	}
	if _, err := Sendmsg(-1, header(buf)); !errors.Is(err, unix.EBADF) {
		t.Fatalf("send to nowhere: %v", err)
	}
}

func TestState(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	raw, err := r.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	s := NewState(raw, Readable)
	if s.Readable() {
		t.Error("readable with nothing to read")
	}
	if _, err := w.WriteString("hello"); err != nil {
		t.Fatal(err)
	}
	if !s.Readable() || testing.AllocsPerRun(100, func() { s.Readable() }) > 0 {
		t.Error("not readable with something to read, or it allocates")
	}
	r.Close()
	if s.Readable() {
		t.Error("readable after it was closed")
	}
}
