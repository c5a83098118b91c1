package logging

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
	"testing"
	"time"
)

// childEnv has the test's own program be the process whose standard error is
// the test's pipe, in the part that the value names.
const childEnv = "WARREN_TEST_LOGGING"

func TestMain(m *testing.M) {
	switch os.Getenv(childEnv) {
	case "":
		os.Exit(m.Run())
	case "until-term":
		untilTerm()
	case "panic":
		stderr(childLines)
		panic("this is the panic")
	case "flood, panic":
		flood(stderr(childLines))
		panic("nobody reads this")
	}
}

const childLines = 256

// flood logs much more than a pipe (64 KiB) and the queue hold.
func flood(l *Log) {
	log := l.Logger()
	for range 4 * childLines {
		log.Info(strings.Repeat("much ", 80))
	}
}

// untilTerm logs, says on standard output how often, and ends well on SIGTERM.
func untilTerm() {
	l := stderr(childLines)
	term := make(chan os.Signal, 1)
	signal.Notify(term, syscall.SIGTERM)
	for i := 0; ; i++ {
		flood(l)
		fmt.Println("flood", i)
		select {
		case <-term:
			l.Close(100 * time.Millisecond)
			os.Exit(0)
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// start starts the part with a pipe for standard error, and returns its reading
// end and that of a pipe for its standard output.
func start(t *testing.T, part string) (cmd *exec.Cmd, stderr, stdout *os.File) {
	t.Helper()
	cmd = exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childEnv+"="+part)
	for _, p := range []struct {
		read  **os.File
		write func(*os.File)
	}{
		{&stderr, func(f *os.File) { cmd.Stderr = f }},
		{&stdout, func(f *os.File) { cmd.Stdout = f }},
	} {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		p.write(w)
		*p.read = r
		t.Cleanup(func() { r.Close() })
		defer w.Close()
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	return cmd, stderr, stdout
}

// ends waits for the end of the process.
func ends(t *testing.T, cmd *exec.Cmd) error {
	t.Helper()
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	select {
	case err := <-ended:
		return err
	case <-time.After(patience):
		t.Fatal("the process does not end")
		return nil
	}
}

func TestPipeThatNobodyReads(t *testing.T) {
	cmd, stderr, stdout := start(t, "until-term")
	scan(t, stdout, "flood 2") // it is not held up
	scan(t, stderr, "lost=")   // the reader is back, and is told
	scan(t, stdout, "flood 5")
	_ = cmd.Process.Signal(syscall.SIGTERM)
	go func() { // the other pipe is read to its end, as nothing was promised about it
		buf := make([]byte, 4096)
		for {
			if _, err := stdout.Read(buf); err != nil {
				return
			}
		}
	}()
	if err := ends(t, cmd); err != nil {
		t.Error(err)
	}
}

func TestPipeWhoseReaderGoes(t *testing.T) {
	cmd, stderr, stdout := start(t, "until-term")
	scan(t, stderr, "much")
	stderr.Close()
	scan(t, stdout, "flood 3")
	_ = cmd.Process.Signal(syscall.SIGTERM)
	stdout.Close() // and so does the reader of the other one
	if err := ends(t, cmd); err != nil {
		t.Error(err)
	}
}

// A panic says why on standard error, and ends the process also where nobody
// reads that.
func TestPanic(t *testing.T) {
	cmd, stderr, _ := start(t, "panic")
	read := make(chan struct{})
	go func() {
		defer close(read)
		scan(t, stderr, "this is the panic")
	}()
	if err := ends(t, cmd); exitCode(err) != 2 {
		t.Errorf("read: %v", err)
	}
	<-read
	cmd, _, _ = start(t, "flood, panic")
	if err := ends(t, cmd); exitCode(err) != 2 {
		t.Errorf("not read: %v", err)
	}
}

func exitCode(err error) int {
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return exit.ExitCode()
	}
	return 0
}
