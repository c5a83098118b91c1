package logging

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// patience is more than anything here takes on a busy machine.
const patience = 30 * time.Second

// lines is what a log that writes to memory has written at its end.
func lines(t *testing.T, toJournal bool, use func(*Log)) []string {
	t.Helper()
	var b bytes.Buffer
	l := New(&b, toJournal)
	use(l)
	if !l.Close(patience) {
		t.Fatal("it was not written")
	}
	return strings.Split(strings.TrimSuffix(b.String(), "\n"), "\n")
}

func TestPrioritiesForTheJournal(t *testing.T) {
	got := lines(t, true, func(l *Log) {
		l.SetLevel(slog.LevelDebug)
		log := l.Logger().With("peer", "b").WithGroup("g").With("x", 1)
		log.Debug("one")
		log.Info("two\nlines", "err", errors.New("a\nb"))
		log.Warn("three")
		log.Error("four")
		l.Plain(slog.LevelError, "five\nsix\n")
		l.Set(Settings{JSON: true})
		log.Warn("seven")
	})
	want := []string{
		`<7>level=DEBUG msg=one peer=b g.x=1`,
		`<6>level=INFO msg="two\nlines" peer=b g.x=1 g.err="a\nb"`,
		`<4>level=WARN msg=three peer=b g.x=1`,
		`<3>level=ERROR msg=four peer=b g.x=1`,
		`<3>five`, `<3>six`,
	}
	if len(got) != len(want)+1 {
		t.Fatalf("%d lines: %q", len(got), got)
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("got  %s\nwant %s", got[i], want[i])
		}
	}
	var object struct {
		Time       time.Time
		Level, Msg string
		Peer       string
		G          struct{ X int }
	}
	last, found := strings.CutPrefix(got[len(want)], "<4>")
	if err := json.Unmarshal([]byte(last), &object); err != nil || !found || object.Msg != "seven" || object.G.X != 1 || object.Time.IsZero() {
		t.Errorf("%v: %s", err, got[len(want)])
	}
}

func TestWithoutJournal(t *testing.T) {
	got := lines(t, false, func(l *Log) {
		l.Logger().Warn("one")
		l.Plain(slog.LevelError, "two")
	})
	if len(got) != 2 || !regexp.MustCompile(`^time=\S+ level=WARN msg=one$`).MatchString(got[0]) || got[1] != "two" {
		t.Errorf("%q", got)
	}
}

func TestLevels(t *testing.T) {
	got := lines(t, true, func(l *Log) {
		log := l.Logger()
		say := func(what string) { log.Debug(what); log.Info(what) }
		say("a") // info
		if l.ToggleDebug() != slog.LevelDebug {
			t.Error("not debug")
		}
		say("b")
		if l.ToggleDebug() != slog.LevelInfo {
			t.Error("not info")
		}
		say("c")
		if !l.Set(Settings{Level: slog.LevelWarn}) || l.Set(Settings{Level: slog.LevelWarn}) {
			t.Error("Set does not tell a change")
		}
		say("d")
		l.ToggleDebug()
		say("e")
		if l.ToggleDebug() != slog.LevelWarn {
			t.Error("not back at what was set")
		}
		l.Set(Settings{Level: slog.LevelDebug})
		if l.ToggleDebug() != slog.LevelInfo {
			t.Error("toggling does nothing where debug was set")
		}
	})
	want := "<6>level=INFO msg=a|<7>level=DEBUG msg=b|<6>level=INFO msg=b|<6>level=INFO msg=c|<7>level=DEBUG msg=e|<6>level=INFO msg=e"
	if strings.Join(got, "|") != want {
		t.Errorf("%q", got)
	}
}

// A valve is a writer that waits, or fails, as the test says.
type valve struct {
	mu   sync.Mutex
	fail error
	got  bytes.Buffer
}

func (v *valve) Write(p []byte) (int, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.fail != nil {
		return 0, v.fail
	}
	return v.got.Write(p)
}

func (v *valve) text() string {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.got.String()
}

func (v *valve) setFail(err error) {
	v.mu.Lock()
	v.fail = err
	v.mu.Unlock()
}

// A reader that stops holds up nobody, costs a bounded amount of memory, and
// hears afterwards how much it missed.
func TestReaderThatStops(t *testing.T) {
	v := &valve{}
	v.mu.Lock() // it does not read
	l := newLog(v, true, 10)
	log := l.Logger()
	log.Info("line", "i", 0)
	taken(t, l)
	began := time.Now()
	for i := range 1000 {
		log.Info("line", "i", i+1)
	}
	if took := time.Since(began); took > patience {
		t.Errorf("logging took %v", took)
	}
	if l.Close(50 * time.Millisecond) {
		t.Error("it claims to have written everything")
	}
	v.mu.Unlock()
	if !l.Close(patience) {
		t.Fatal("it did not go on")
	}
	got := strings.Split(strings.TrimSpace(v.text()), "\n")
	kept := 11 // the goroutine holds one line besides the queue's ten
	if len(got) != kept+1 {
		t.Fatalf("%d lines: %q", len(got), got)
	}
	for i, line := range got[:kept] {
		if want := fmt.Sprintf("<6>level=INFO msg=line i=%d", i); line != want {
			t.Errorf("got %s, want %s", line, want)
		}
	}
	if want := fmt.Sprintf(`<4>level=WARN msg="lines of this log were lost: its reader did not take them" lost=%d`, 1001-kept); got[kept] != want {
		t.Errorf("got %s\nwant %s", got[kept], want)
	}
}

// The line about the lost ones is where they would have been.
func TestLostInTheMiddle(t *testing.T) {
	v := &valve{}
	v.mu.Lock()
	l := newLog(v, true, 2)
	l.Logger().Info("before")
	taken(t, l)
	for range 9 {
		l.Logger().Info("before")
	}
	v.mu.Unlock()
	eventually(t, func() error {
		if !strings.Contains(v.text(), "lost=") {
			return fmt.Errorf("no word of what was lost: %s", v.text())
		}
		return nil
	})
	l.Logger().Info("after")
	l.Close(patience)
	if !regexp.MustCompile(`(?s)^(<6>level=INFO msg=before\n){3}<4>[^\n]*lost=7\n<6>level=INFO msg=after\n$`).MatchString(v.text()) {
		t.Errorf("%s", v.text())
	}
}

// A big line does not make room for itself.
func TestBytesAreBounded(t *testing.T) {
	v := &valve{}
	v.mu.Lock()
	l := New(v, true)
	for range 4 {
		l.Logger().Info(strings.Repeat("x", maxBytes/2))
	}
	v.mu.Unlock()
	l.Close(patience)
	if n := strings.Count(v.text(), "xxx\n"); n > 2 || !strings.Contains(v.text(), "lost=") {
		t.Errorf("%d big lines", n)
	}
}

// Lines that cannot be written are lost, and counted, until they can be again.
func TestWriterThatFails(t *testing.T) {
	v := &valve{fail: syscall.EPIPE}
	l := New(v, true)
	for range 3 {
		l.Logger().Info("nobody hears")
	}
	taken(t, l)
	v.setFail(nil)
	l.Logger().Info("heard")
	l.Close(patience)
	if !regexp.MustCompile(`^(<4>.*lost=[23]\n)?(<6>level=INFO msg="nobody hears"\n)?<6>level=INFO msg=heard\n$`).MatchString(v.text()) ||
		!strings.Contains(v.text(), "lost=") {
		t.Errorf("%s", v.text())
	}
}

// A line that was written in part, before the writer failed, is not continued by
// the next one.
func TestTornLine(t *testing.T) {
	w := &tearing{}
	out := writer{w: w, notice: func(n uint64) []byte { return fmt.Appendf(nil, "lost %d\n", n) }}
	out.write(line{text: []byte("first\n")})
	out.write(line{text: []byte("second\n")})
	if got := w.got.String(); got != "fir\nlost 1\nsecond\n" {
		t.Errorf("%q", got)
	}
}

type tearing struct {
	got  bytes.Buffer
	torn bool
}

func (w *tearing) Write(p []byte) (int, error) {
	if !w.torn {
		w.torn = true
		w.got.Write(p[:3])
		return 3, io.ErrShortWrite
	}
	return w.got.Write(p)
}

func TestManyGoroutines(t *testing.T) {
	got := lines(t, true, func(l *Log) {
		var all sync.WaitGroup
		for i := range 8 {
			all.Go(func() {
				log := l.Logger().With("i", i)
				for range 100 {
					log.Info("x")
					l.ToggleDebug()
					l.Set(Settings{JSON: i%2 == 0})
				}
			})
		}
		all.Wait()
	})
	if len(got) != 800 {
		t.Errorf("%d lines", len(got))
	}
}

// taken waits until the log's goroutine has taken all lines out of the queue.
func taken(t *testing.T, l *Log) {
	t.Helper()
	eventually(t, func() error {
		l.queue.mu.Lock()
		defer l.queue.mu.Unlock()
		if len(l.queue.waiting) > 0 {
			return errors.New("lines wait")
		}
		return nil
	})
}

func eventually(t *testing.T, f func() error) {
	t.Helper()
	for end := time.Now().Add(patience); ; time.Sleep(5 * time.Millisecond) {
		err := f()
		if err == nil {
			return
		}
		if time.Now().After(end) {
			t.Fatal(err)
		}
	}
}

// scan reads lines of r until one of them contains what.
func scan(t *testing.T, r *os.File, what string) {
	t.Helper()
	if err := r.SetReadDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	for s := bufio.NewScanner(r); ; {
		if !s.Scan() {
			t.Fatalf("it does not say %q: %v", what, s.Err())
		}
		if strings.Contains(s.Text(), what) {
			return
		}
	}
}
