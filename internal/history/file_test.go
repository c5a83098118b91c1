package history

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

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
	_, goOn, err := l.HandOver(t.Context()) // so that it is not in the middle of another try
	if err != nil {
		t.Fatal(err)
	}
	if all := lines(t, path); len(all) == 0 || len(all) == many || all[len(all)-1].Cause != fmt.Sprint(len(all)-1) {
		t.Errorf("%d lines are there while the disk is full", len(all))
	}
	goOn()
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
