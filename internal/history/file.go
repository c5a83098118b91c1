package history

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"warren/internal/access"
)

const (
	fileMode = 0o600
	dirMode  = 0o700
	// maxTail is how much of a file is read at the start: more than memory keeps of events of
	// usual length.
	maxTail = 4 << 20
)

// earlierPath is where the file that was full before is.
func earlierPath(path string) string { return path + ".1" }

// writer writes events to a file. It is of one goroutine.
type writer struct {
	file File
	f    *os.File // nil: not open
	size int64
}

func (w *writer) close() {
	if w.f != nil {
		_ = w.f.Close()
		w.f = nil
	}
}

// write appends events to the file. done is how many of them are there, also after an error; the others are to be
// written again.
func (w *writer) write(file File, batch []Event) (done int, err error) {
	if w.file != file {
		w.close()
		w.file = file
	}
	if file.Path == "" {
		return len(batch), nil
	}
	if err := w.ready(); err != nil {
		return 0, fmt.Errorf("history file: %w", err)
	}
	var lines bytes.Buffer
	for _, e := range batch {
		line, err := Line(e)
		if err != nil {
			return done, err
		}
		if w.size+int64(lines.Len()+len(line)) > file.MaxSize/2 {
			n, err := w.append(&lines)
			done += n
			if err == nil {
				err = w.rotate()
			}
			if err != nil {
				return done, fmt.Errorf("history file: %w", err)
			}
		}
		lines.Write(line)
	}
	n, err := w.append(&lines)
	if err != nil {
		err = fmt.Errorf("history file: %w", err)
	}
	return done + n, err
}

// append writes lines, and leaves none of them. done is how many are in the file. Where the disk is full, that may be some,
// and the next one only in part, which is taken away.
func (w *writer) append(lines *bytes.Buffer) (done int, err error) {
	data := lines.Bytes()
	lines.Reset()
	n, err := w.f.Write(data)
	if err == nil {
		w.size += int64(n)
		return bytes.Count(data, []byte("\n")), nil
	}
	whole := bytes.LastIndexByte(data[:n], '\n') + 1
	if whole < n {
		// What cannot be taken away is ended as a line when the file is opened, and left out when it is read.
		_ = w.f.Truncate(w.size + int64(whole))
	}
	w.close() // the next one looks at what is there now
	return bytes.Count(data[:whole], []byte("\n")), err
}

// ready opens the file, also if something else has moved the open one away, and makes room where
// there is more than may be.
func (w *writer) ready() error {
	if w.f != nil {
		open, err := w.f.Stat()
		if err != nil {
			return err
		}
		if there, err := os.Lstat(w.file.Path); err == nil && os.SameFile(open, there) {
			return nil
		}
		w.close()
	}
	f, size, err := openFile(w.file.Path)
	if err != nil {
		return err
	}
	w.f, w.size = f, size
	if there, err := os.Lstat(earlierPath(w.file.Path)); err == nil && there.Size() > w.file.MaxSize/2 {
		if err := os.Remove(earlierPath(w.file.Path)); err != nil {
			return err
		}
	}
	if w.size > w.file.MaxSize/2 {
		return w.rotate()
	}
	return nil
}

// rotate begins another file. The one that was full goes where the one before it was, unless it is
// larger than that may be.
func (w *writer) rotate() error {
	w.close()
	var err error
	if w.size > w.file.MaxSize/2 {
		err = os.Remove(w.file.Path)
	} else {
		err = os.Rename(w.file.Path, earlierPath(w.file.Path))
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	w.f, w.size, err = openFile(w.file.Path)
	return err
}

// openFile opens a file for appending, after it has made it and its directory if they are missing. A
// line that an earlier process has left unfinished is ended.
func openFile(path string) (*os.File, int64, error) {
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, dirMode); err != nil {
		return nil, 0, fmt.Errorf("make its directory: %w", err)
	}
	info, err := os.Stat(dir)
	if err != nil {
		return nil, 0, fmt.Errorf("look at its directory: %w", err)
	}
	if err := access.Dir(dir, info); err != nil {
		return nil, 0, fmt.Errorf("its directory %s: %w", dir, err)
	}
	f, err := access.Open(path, os.O_RDWR|os.O_APPEND|os.O_CREATE, fileMode)
	if err != nil {
		return nil, 0, err
	}
	size, err := endLine(f)
	if err != nil {
		_ = f.Close()
		return nil, 0, err
	}
	return f, size, nil
}

// endLine returns the size of a file whose last line it has ended.
func endLine(f *os.File) (int64, error) {
	info, err := f.Stat()
	if err != nil || info.Size() == 0 {
		return 0, err
	}
	last := make([]byte, 1)
	if _, err := f.ReadAt(last, info.Size()-1); err != nil {
		return 0, err
	}
	if last[0] == '\n' {
		return info.Size(), nil
	}
	_, err = f.Write([]byte("\n"))
	return info.Size() + 1, err
}

// readFile returns the last events that are in a file and in the one before it. A line that is none is
// left out, as one may be unfinished.
func readFile(path string) (events []Event, err error) {
	for _, p := range []string{earlierPath(path), path} {
		tail, readErr := readTail(p)
		if readErr != nil {
			err = fmt.Errorf("history file: %w", readErr)
			continue
		}
		for line := range bytes.Lines(tail) {
			var e Event
			if json.Unmarshal(line, &e) == nil && e.Kind != "" && !e.Time.IsZero() {
				events = append(events, bounded(e))
			}
		}
	}
	return events[max(0, len(events)-capacity):], err
}

func readTail(path string) ([]byte, error) {
	f, err := access.Open(path, os.O_RDONLY, fileMode)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if _, err := f.Seek(max(0, info.Size()-maxTail), io.SeekStart); err != nil {
		return nil, err
	}
	return io.ReadAll(io.LimitReader(f, maxTail))
}
