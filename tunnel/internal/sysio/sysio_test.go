package sysio

import (
	"testing"

	"golang.org/x/sys/unix"
)

func TestBothWaysReadAndWrite(t *testing.T) {
	var fds [2]int
	if err := unix.Pipe2(fds[:], unix.O_CLOEXEC|unix.O_NONBLOCK); err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fds[0])
	buf := make([]byte, 16)
	for _, quick := range []bool{true, false} {
		if _, err := Read(fds[0], buf, quick); err != unix.EAGAIN {
			t.Fatalf("quick %v: read from an empty pipe: %v", quick, err)
		}
		if Readable(fds[0]) {
			t.Fatal("an empty pipe is readable")
		}
		if n, err := Write(fds[1], []byte("hello"), quick); n != 5 || err != nil {
			t.Fatalf("quick %v: write: %d, %v", quick, n, err)
		}
		if !Readable(fds[0]) {
			t.Fatal("a pipe with something in it is not readable")
		}
		if n, err := Read(fds[0], buf, quick); string(buf[:max(n, 0)]) != "hello" || err != nil {
			t.Fatalf("quick %v: read: %q, %v", quick, buf[:max(n, 0)], err)
		}
		if n, err := Write(fds[1], nil, quick); n != 0 || err != nil {
			t.Fatalf("quick %v: write of nothing: %d, %v", quick, n, err)
		}
	}
	unix.Close(fds[1])
	if n, err := Read(fds[0], buf, true); n != 0 || err != nil {
		t.Fatalf("at the end: %d, %v", n, err)
	}
}

func TestStreakIsBounded(t *testing.T) {
	var s Streak
	for range 2 {
		n := 0
		for s.Quick() {
			n++
		}
		if n != quickCalls || s.Quick() {
			t.Fatalf("%d quick calls, want %d", n, quickCalls)
		}
		s.Waited()
	}
}
