package main

import (
	"io"
	"os"

	"golang.org/x/sys/unix"

	"warren/internal/status"
)

// terminalSize returns the width and the height of the terminal that is written to, in cells; 0 where it
// does not say. ok is false if it is none.
func terminalSize(w io.Writer) (width, height int, ok bool) {
	if o, is := w.(*checkedOutput); is {
		w = o.Writer
	}
	f, isFile := w.(*os.File)
	if !isFile {
		return 0, 0, false
	}
	size, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ)
	if err != nil {
		return 0, 0, false
	}
	return int(size.Col), int(size.Row), true
}

// viewOf is how a status is shown there: in a terminal's width, and in colours if it has them and nobody
// is against it (https://no-color.org).
func viewOf(w io.Writer) status.View {
	width, _, ok := terminalSize(w)
	if !ok {
		return status.View{}
	}
	term := os.Getenv("TERM")
	return status.View{Width: width, Colour: os.Getenv("NO_COLOR") == "" && term != "" && term != "dumb"}
}
