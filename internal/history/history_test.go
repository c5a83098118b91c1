package history

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// start runs a Log until the test ends or stop is called, which returns when all is written.
func start(t *testing.T, f File, report func(error)) (l *Log, stop func()) {
	t.Helper()
	if report == nil {
		report = func(err error) {
			if err != nil {
				t.Error(err)
			}
		}
	}
	l = New(report)
	return l, run(t, l, f)
}

// run runs a Log likewise.
func run(t *testing.T, l *Log, f File) (stop func()) {
	l.SetFile(f)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = l.Run(ctx)
	}()
	stop = sync.OnceFunc(func() { cancel(); <-done })
	t.Cleanup(stop)
	return stop
}

func causes(events []Event) (all []string) {
	for _, e := range events {
		all = append(all, e.Cause)
	}
	return all
}

func lines(t *testing.T, path string) (events []Event) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for line := range bytes.Lines(data) {
		var e Event
		if err := json.Unmarshal(line, &e); err != nil {
			t.Fatalf("%s: %q: %v", path, line, err)
		}
		events = append(events, e)
	}
	return events
}

func TestMemoryIsBounded(t *testing.T) {
	l := New(nil)
	for i := range 5 * capacity {
		l.Add(Event{Kind: TunnelUp, Cause: fmt.Sprint(i)})
	}
	all, next, _ := l.Select(Query{})
	if len(all) != capacity || all[0].Cause != fmt.Sprint(4*capacity) || all[capacity-1].Cause != fmt.Sprint(5*capacity-1) {
		t.Fatalf("%d events, from %s", len(all), all[0].Cause)
	}
	if cap(l.events) > 4*capacity {
		t.Errorf("room for %d", cap(l.events))
	}
	if got, _, _ := l.Select(Query{From: next - 2}); len(got) != 2 {
		t.Errorf("%d events from the last but one", len(got))
	}
}

// A text of a peer's, however long and whatever is in it, takes a line of bounded length.
func TestTextIsBounded(t *testing.T) {
	l := New(nil)
	nasty := strings.Repeat("\"\\\x1b\xff€", 10000)
	e := Event{Kind: Malformed, Peer: nasty, Cause: nasty, Interface: nasty, Remote: nasty}
	for range 1000 {
		e.Changes = append(e.Changes, nasty)
	}
	l.Add(e)
	got, _, _ := l.Select(Query{})
	line, err := Line(got[0])
	if err != nil || len(line) > 32<<10 || bytes.ContainsAny(line[:len(line)-1], "\x1b\n\xff") {
		t.Errorf("%v, a line of %d bytes", err, len(line))
	}
}

func TestSelect(t *testing.T) {
	l := New(nil)
	begin := time.Date(2020, 3, 1, 12, 0, 0, 0, time.UTC)
	for i, peer := range []string{"a", "b", "", "a"} {
		l.Add(Event{Kind: SessionUp, Peer: peer, Cause: fmt.Sprint(i), Time: At(begin.Add(time.Duration(i) * time.Minute))})
	}
	for _, c := range []struct {
		q    Query
		want string
	}{
		{Query{}, "[0 1 2 3]"},
		{Query{Peer: "a"}, "[0 3]"},
		{Query{Since: begin.Add(time.Minute)}, "[1 2 3]"},
		{Query{Peer: "a", Since: begin.Add(time.Second)}, "[3]"},
		{Query{Last: 2}, "[2 3]"},
		{Query{Peer: "c"}, "[]"},
	} {
		if got, _, _ := l.Select(c.q); fmt.Sprint(causes(got)) != c.want {
			t.Errorf("%+v: %v, want %s", c.q, causes(got), c.want)
		}
	}
	_, next, changed := l.Select(Query{})
	select {
	case <-changed:
		t.Fatal("changed, though nothing is")
	default:
	}
	l.Add(Event{Kind: SessionDown, Cause: "4"})
	<-changed
	if got, _, _ := l.Select(Query{From: next}); fmt.Sprint(causes(got)) != "[4]" {
		t.Errorf("%v", causes(got))
	}
}

// Where the clock was ahead and was set back, what happened before is no newer than what happened after it.
func TestSelectWhereTheClockWasSetBack(t *testing.T) {
	l := New(nil)
	now := time.Now()
	for _, ago := range []time.Duration{
		-9000 * time.Hour, 10 * time.Hour, // set back ten hours ago
		-8000 * time.Hour, -8001 * time.Hour, time.Hour, // and an hour ago
		-ahead / 2,                     // a little is no matter
		20000 * time.Hour, time.Minute, // a start without a date
		-7000 * time.Hour, // the clock is ahead now
	} {
		l.Add(Event{Kind: SessionDown, Cause: ago.String(), Time: At(now.Add(-ago))})
	}
	for _, c := range []struct {
		ago  time.Duration
		want string
	}{
		{time.Second, "[-30s -7000h0m0s]"},
		{2 * time.Minute, "[-30s 1m0s -7000h0m0s]"},
		{2 * time.Hour, "[-8000h0m0s -8001h0m0s 1h0m0s -30s 1m0s -7000h0m0s]"},
		{24 * time.Hour, "[-9000h0m0s 10h0m0s -8000h0m0s -8001h0m0s 1h0m0s -30s 1m0s -7000h0m0s]"},
	} {
		if got, _, _ := l.Select(Query{Since: now.Add(-c.ago)}); fmt.Sprint(causes(got)) != c.want {
			t.Errorf("%v ago: %v, want %s", c.ago, causes(got), c.want)
		}
	}
}

func TestFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "made", "history")
	f := File{path, 64 << 10}
	l, stop := start(t, f, nil)
	link := 0
	l.Add(Event{Kind: TunnelDown, Peer: "site-b", Link: &link, Cause: "no answer", LastedS: 1.5})
	stop()
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("%v %v", info, err)
	}
	if got := lines(t, path); len(got) != 1 || got[0].Link == nil || *got[0].Link != 0 || got[0].Cause != "no answer" {
		t.Fatalf("%+v", got)
	}

	// What a killed process left unfinished does not spoil what follows, and the next process has all that
	// is in the file.
	for _, more := range []string{"not json\n", `{"event":"tunnel_`} {
		file, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
		if err == nil {
			_, err = file.WriteString(more)
		}
		if err = errors.Join(err, file.Close()); err != nil {
			t.Fatal(err)
		}
	}
	l, stop = start(t, f, nil)
	l.Add(Event{Kind: TunnelUp, Cause: "again"})
	stop()
	if got, _, _ := l.Select(Query{}); fmt.Sprint(causes(got)) != "[no answer again]" {
		t.Errorf("%v", causes(got))
	}
	data, err := os.ReadFile(path)
	if err != nil || !bytes.Contains(data, []byte("{\"event\":\"tunnel_\n{\"time\"")) {
		t.Errorf("%v %s", err, data)
	}
}

func TestFileIsBounded(t *testing.T) {
	path := filepath.Join(t.TempDir(), "history")
	const most = 64 << 10
	l, stop := start(t, File{path, most}, nil)
	for i := range 3000 {
		l.Add(Event{Kind: SessionDown, Peer: "site-b", Cause: fmt.Sprintf("%d %s", i, strings.Repeat("x", 200))})
		if i%100 == 0 {
			settle(t, l)
		}
	}
	stop()
	sum := int64(0)
	for _, p := range []string{path, path + ".1"} {
		info, err := os.Stat(p)
		if err != nil {
			t.Fatal(err)
		}
		sum += info.Size()
	}
	if sum > most || sum < most/2 {
		t.Errorf("%d bytes", sum)
	}
	all := append(lines(t, path+".1"), lines(t, path)...)
	for i, e := range all {
		if !strings.HasPrefix(e.Cause, fmt.Sprint(3000-len(all)+i, " ")) {
			t.Fatalf("line %d of %d is %s", i, len(all), e.Cause)
		}
	}

	// A smaller bound is kept too.
	l, stop = start(t, File{path, most / 4}, nil)
	l.Add(Event{Kind: SessionUp, Cause: "small"})
	stop()
	if _, err := os.Stat(path + ".1"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the file before: %v", err)
	}
	if got := lines(t, path); len(got) != 1 {
		t.Errorf("%d lines", len(got))
	}
}

// settle waits until the last event is in the file.
func settle(t *testing.T, l *Log) {
	t.Helper()
	all, _, _ := l.Select(Query{Last: 1})
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		if data, err := os.ReadFile(l.file.Path); err == nil && bytes.Contains(data, []byte(`"cause":"`+all[0].Cause+`"`)) {
			return
		}
	}
	t.Fatalf("%s was not written", all[0].Cause)
}

// What others may have put there is not written to, and why is said; the events come when it can be.
func TestFileThatIsNotSafe(t *testing.T) {
	for name, prepare := range map[string]func(path string) error{
		"symbolic link": func(path string) error { return os.Symlink("/dev/null", path) },
		"chmod go-w": func(path string) error {
			return errors.Join(os.WriteFile(path, nil, 0o600), os.Chmod(path, 0o666))
		},
		"no regular file": func(path string) error { return os.Mkdir(path, 0o700) },
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "history")
			if err := prepare(path); err != nil {
				t.Fatal(err)
			}
			said := make(chan error, 64)
			l, _ := start(t, File{path, 64 << 10}, func(err error) {
				select {
				case said <- err:
				default:
				}
			})
			l.Add(Event{Kind: TunnelUp, Cause: "kept"})
			if name == "no regular file" { // the system's words for a directory
				name = "directory"
			}
			await(t, said, func(err error) bool { return err != nil && strings.Contains(err.Error(), name) })
			if err := os.RemoveAll(path); err != nil {
				t.Fatal(err)
			}
			await(t, said, func(err error) bool { return err == nil })
			if got := lines(t, path); len(got) != 1 || got[0].Cause != "kept" {
				t.Errorf("%+v", got)
			}
		})
	}
}

func await(t *testing.T, said <-chan error, is func(error) bool) {
	t.Helper()
	for deadline := time.After(time.Minute); ; {
		select {
		case err := <-said:
			if is(err) {
				return
			}
		case <-deadline:
			t.Fatal("it was not said")
		}
	}
}

// A file that something else moves away, as logrotate does, is made again.
func TestFileIsMovedAway(t *testing.T) {
	path := filepath.Join(t.TempDir(), "history")
	l, stop := start(t, File{path, 64 << 10}, nil)
	l.Add(Event{Kind: TunnelUp, Cause: "first"})
	settle(t, l)
	if err := os.Rename(path, path+".old"); err != nil {
		t.Fatal(err)
	}
	l.Add(Event{Kind: TunnelUp, Cause: "second"})
	stop()
	if got := lines(t, path); fmt.Sprint(causes(got)) != "[second]" {
		t.Errorf("%v", causes(got))
	}
}

// A disk that takes nothing keeps nobody waiting, and the file says what it has not got.
func TestSlowDisk(t *testing.T) {
	path := filepath.Join(t.TempDir(), "history")
	if err := os.Mkdir(path, 0o700); err != nil { // which is no file
		t.Fatal(err)
	}
	failed := make(chan error, 64)
	l, _ := start(t, File{path, 8 << 20}, func(err error) {
		select {
		case failed <- err:
		default:
		}
	})
	await(t, failed, func(err error) bool { return err != nil })
	for i := range capacity + 100 {
		l.Add(Event{Kind: TunnelUp, Cause: fmt.Sprint(i)})
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	await(t, failed, func(err error) bool { return err == nil })
	if got := lines(t, path); got[0].Kind != Lost || got[0].Count != 100 || got[1].Cause != "100" || len(got) != capacity+1 {
		t.Errorf("%d lines, first %+v", len(got), got[0])
	}
}

// limitedVariable tells the test binary that it is a process of TestFullDisk's, whose limits are no other test's.
const limitedVariable = "WARREN_HISTORY_LIMITED"

// Each event is in the file once and whole, also where the disk was full amid one.
func TestFullDisk(t *testing.T) {
	if os.Getenv(limitedVariable) == "" {
		cmd := exec.CommandContext(t.Context(), "/proc/self/exe", "-test.run=^TestFullDisk$")
		cmd.Env = append(os.Environ(), limitedVariable+"=1")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%v\n%s", err, out)
		}
		return
	}
	var before syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &before); err != nil {
		t.Fatal(err)
	}
	signal.Ignore(syscall.SIGXFSZ) // so that a write beyond the limit does in part what it can, and fails
	room := func(bytes uint64) {
		t.Helper()
		if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: min(bytes, before.Max), Max: before.Max}); err != nil {
			t.Fatal(err)
		}
	}

	path := filepath.Join(t.TempDir(), "history")
	said := make(chan error, 64)
	l := New(func(err error) {
		select {
		case said <- err:
		default:
		}
	})
	const many = 100
	for i := range many {
		l.Add(Event{Kind: SessionDown, Cause: fmt.Sprint(i)})
	}
	room(3000)
	run(t, l, File{path, 1 << 20})
	await(t, said, func(err error) bool { return errors.Is(err, syscall.EFBIG) })
	if all := lines(t, path); len(all) == 0 || len(all) == many || all[len(all)-1].Cause != fmt.Sprint(len(all)-1) {
		t.Errorf("%d lines are there while the disk is full", len(all))
	}
	await(t, said, func(err error) bool { return errors.Is(err, syscall.EFBIG) }) // again
	room(before.Cur)
	await(t, said, func(err error) bool { return err == nil })
	isOnce(t, lines(t, path), many)
}

// isOnce expects events whose causes are the numbers from 0.
func isOnce(t *testing.T, all []Event, many int) {
	t.Helper()
	for i, e := range all {
		if e.Cause != fmt.Sprint(i) {
			t.Fatalf("line %d of %d is %s", i, len(all), e.Cause)
		}
	}
	if len(all) != many {
		t.Errorf("%d lines, want %d", len(all), many)
	}
}

// What is in the file is not written again because another file cannot be begun.
func TestFileThatCannotBeMoved(t *testing.T) {
	path := filepath.Join(t.TempDir(), "history")
	said := make(chan error, 1024)
	l, _ := start(t, File{path, 64 << 10}, func(err error) {
		select {
		case said <- err:
		default:
		}
	})
	add := func(from, to int) {
		for i := from; i < to; i++ {
			l.Add(Event{Kind: SessionDown, Cause: fmt.Sprint(i), Remote: strings.Repeat("x", 100)})
		}
	}
	const some, many = 100, 250 // all of them are too many for a file, and the others alone are not
	add(0, some)
	settle(t, l)
	if err := os.Mkdir(path+".1", 0o700); err != nil { // which no file replaces
		t.Fatal(err)
	}
	_, goOn, err := l.HandOver(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	add(some, many)
	goOn() // so that all the others are written at once
	failed := func(err error) bool { return err != nil }
	await(t, said, failed)
	await(t, said, failed)
	if err := os.Remove(path + ".1"); err != nil {
		t.Fatal(err)
	}
	await(t, said, func(err error) bool { return err == nil })
	isOnce(t, append(lines(t, path+".1"), lines(t, path)...), many)
}

// A history that is handed over goes on where it was: its events come before those to come, in their order, and each
// is in the file once, also those that could not be written before.
func TestHandOver(t *testing.T) {
	path := filepath.Join(t.TempDir(), "history")
	f := File{path, 64 << 10}
	l, stop := start(t, f, nil)
	l.Add(Event{Kind: TunnelUp, Cause: "one"})
	settle(t, l)
	_, goOn, err := l.HandOver(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := l.HandOver(ended); err == nil {
		t.Error("handed over twice")
	}
	goOn() // as when the next program cannot be started
	l.Add(Event{Kind: TunnelDown, Cause: "two"})
	settle(t, l)
	stop() // what comes from now on is not written by this program
	l.Add(Event{Kind: TunnelUp, Cause: "three"})
	h, _, err := l.HandOver(t.Context())
	if err != nil || fmt.Sprint(causes(h.Events)) != "[one two three]" || h.Next-h.Written != 1 {
		t.Fatalf("%+v, %v", h, err)
	}
	data, err := json.Marshal(h)
	if err != nil {
		t.Fatal(err)
	}
	var taken Handover
	if err := json.Unmarshal(data, &taken); err != nil {
		t.Fatal(err)
	}
	next := Resume(&taken, func(err error) {
		if err != nil {
			t.Error(err)
		}
	})
	next.SetFile(f)
	next.Add(Event{Kind: Restart, Cause: "four"})
	over, end := context.WithCancel(t.Context())
	end()
	if err := next.Run(over); err != nil {
		t.Fatal(err)
	}
	if got, _, _ := next.Select(Query{}); fmt.Sprint(causes(got)) != "[one two three four]" {
		t.Errorf("%v", causes(got))
	}
	if got := lines(t, path); fmt.Sprint(causes(got)) != "[one two three four]" {
		t.Errorf("the file has %v", causes(got))
	}
}

// What is handed over is bounded, and so is what is taken, whatever a program has left.
func TestHandOverIsBounded(t *testing.T) {
	l := New(nil)
	text := strings.Repeat("x", maxText)
	for i := range capacity {
		l.Add(Event{Kind: TunnelUp, Cause: fmt.Sprint(i, " ", text), Remote: text, By: text})
	}
	h, _, err := l.HandOver(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	data, err := json.Marshal(h)
	if n := len(h.Events); err != nil || len(data) > maxHandover+1024 || n < 500 || !strings.HasPrefix(h.Events[n-1].Cause, fmt.Sprint(capacity-1)) {
		t.Errorf("%d events in %d bytes, %v", len(h.Events), len(data), err)
	}
	// Those that are left out and were not in the file are told of as lost.
	path := filepath.Join(t.TempDir(), "history")
	next := Resume(&h, func(error) {})
	next.SetFile(File{path, 64 << 20})
	over, end := context.WithCancel(t.Context())
	end()
	if err := next.Run(over); err != nil {
		t.Fatal(err)
	}
	if got := lines(t, path); got[0].Kind != Lost || int(got[0].Count) != capacity-len(h.Events) || len(got) != len(h.Events)+1 {
		t.Errorf("%d lines, the first %+v", len(got), got[0])
	}

	many := Handover{Next: 3, Written: 1 << 60}
	for range 2 * capacity {
		many.Events = append(many.Events, Event{Kind: TunnelUp, Cause: strings.Repeat("x", 9*maxText)})
	}
	next = Resume(&many, func(error) {})
	next.Add(Event{Kind: TunnelUp})
	got, _, _ := next.Select(Query{})
	if len(got) != capacity || len(got[0].Cause) > 2*maxText || next.written > next.next {
		t.Errorf("%d events, the first of %d bytes, written up to %d of %d", len(got), len(got[0].Cause), next.written, next.next)
	}
	if got, _, _ := Resume(nil, nil).Select(Query{}); len(got) != 0 {
		t.Errorf("%v", got)
	}
}
