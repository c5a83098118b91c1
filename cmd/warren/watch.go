package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"warren/internal/status"
)

const (
	// watchEvery is how often --watch asks.
	watchEvery = time.Second
	// answerWithin is how long one answer may take.
	answerWithin = 5 * time.Second
)

// watch shows a status again and again, until it is interrupted.
type watch struct {
	out  io.Writer
	ask  func(context.Context) (status.Status, error)
	text func(status.View, io.Writer, status.Status) error
}

func watchStatus(cmd *cobra.Command, socket, peer string) error {
	w := watch{out: cmd.OutOrStdout(), text: status.View.Table}
	w.ask = func(ctx context.Context) (status.Status, error) { return status.Get(ctx, socket) }
	if peer != "" {
		w.text = status.View.PeerText
		w.ask = func(ctx context.Context) (status.Status, error) { return peerStatus(ctx, socket, peer) }
	}
	first, err := w.get(cmd.Context())
	if err != nil {
		return err
	}
	if _, _, ok := terminalSize(w.out); ok {
		return w.screen(cmd.Context(), first)
	}
	return w.log(cmd.Context(), first)
}

func (w *watch) get(ctx context.Context) (status.Status, error) {
	ctx, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	return w.ask(ctx)
}

// Control sequences of ECMA-48, and xterm's for its alternate screen, which leaves the one before as it was.
const (
	enterScreen = "\x1b[?1049h\x1b[?25l\x1b[2J"
	leaveScreen = "\x1b[?25h\x1b[?1049l"
	toTop       = "\x1b[H"
	eraseLine   = "\x1b[K"
	eraseBelow  = "\x1b[J"
)

// screen redraws a terminal's screen.
func (w *watch) screen(ctx context.Context, s status.Status) error {
	resized := make(chan os.Signal, 1)
	signal.Notify(resized, unix.SIGWINCH)
	defer signal.Stop(resized)
	if _, err := io.WriteString(w.out, enterScreen); err != nil {
		return err
	}
	defer func() { _, _ = io.WriteString(w.out, leaveScreen) }()
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	var failed error
	for {
		if err := w.draw(s, failed); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil // that is how watching ends
		case <-resized: // what there is is drawn again
			continue
		case <-tick.C:
		}
		next, err := w.get(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if failed = err; err == nil {
			s = next
		}
	}
}

// draw draws one frame: as much as the screen has room for.
func (w *watch) draw(s status.Status, failed error) error {
	view := viewOf(w.out)
	_, height, _ := terminalSize(w.out)
	var b strings.Builder
	b.WriteString(time.Now().Format("2006-01-02 15:04:05") + "  ctrl-C ends\n\n")
	if failed != nil {
		fmt.Fprintf(&b, "%s\n", view.Trouble(fmt.Sprintf("%v\nas it was at %s:\n", failed, s.Time.Local().Format("15:04:05"))))
	}
	if err := w.text(view, &b, s); err != nil {
		return err
	}
	lines := strings.Split(strings.TrimRight(b.String(), "\n"), "\n")
	if height > 0 && len(lines) > height {
		left := len(lines) - height + 1
		lines = append(lines[:height-1:height-1], fmt.Sprintf("… %d more lines", left))
	}
	frame := toTop + strings.Join(lines, eraseLine+"\r\n") + eraseLine + eraseBelow
	_, err := io.WriteString(w.out, frame)
	return err
}

// log is for what is no terminal: each status that differs in more than times and counters, with the time.
func (w *watch) log(ctx context.Context, s status.Status) error {
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	shown := ""
	for failed := error(nil); ; {
		is := "!"
		if failed == nil {
			is = status.Gist(s)
		}
		if is != shown {
			shown = is
			if err := w.entry(s, failed); err != nil {
				return err
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		next, err := w.get(ctx)
		switch {
		case err == nil:
			s, failed = next, nil
		case ctx.Err() != nil:
			return nil
		case errors.As(err, new(usageError)):
			return err // the peer is not there any more
		default:
			failed = err
		}
	}
}

func (w *watch) entry(s status.Status, failed error) error {
	if _, err := fmt.Fprintf(w.out, "--- %s\n", time.Now().Format(time.RFC3339)); err != nil {
		return err
	}
	if failed != nil {
		_, err := fmt.Fprintf(w.out, "%v\n", failed)
		return err
	}
	return w.text(status.View{}, w.out, s)
}
