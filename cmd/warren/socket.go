package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"warren/internal/config"
	"warren/internal/status"
)

// askWithin bounds how long a daemon is waited for that is asked which config it reads.
const askWithin = 5 * time.Second

// socketOf returns where the daemon of a config can be asked. A daemon stays at the socket that it was started with while
// api.socket is edited, so where nobody listens at the one in the file, or that is none, the daemon at the default socket is
// looked at, and taken if it reads this config. words is told of that.
func socketOf(ctx context.Context, words io.Writer, file string) (string, error) {
	return socketOr(ctx, words, file, config.DefaultSocket)
}

func socketOr(ctx context.Context, words io.Writer, file, usual string) (string, error) {
	socket, err := config.Socket(file)
	if err == nil && (socket == usual || status.Listens(ctx, socket)) || !readsConfig(ctx, usual, file) {
		return socket, err
	}
	if err != nil {
		fmt.Fprintf(words, "warning: %v\n", err)
	} else {
		fmt.Fprintf(words, "warning: api.socket of %s was changed to %s since warren was started: `systemctl restart warren` applies it\n", file, socket)
	}
	fmt.Fprintf(words, "warning: warren is asked at %s, where it listens\n", usual)
	return usual, nil
}

// readsConfig reports whether a daemon listens at a socket that reads a config.
func readsConfig(ctx context.Context, socket, file string) bool {
	if !status.Listens(ctx, socket) {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, askWithin)
	defer cancel()
	f, err := status.Foresee(ctx, socket)
	if err != nil || f.Path == "" {
		return false
	}
	path, err := filepath.Abs(file)
	if err == nil && path == f.Path {
		return true
	}
	a, errA := os.Stat(file)
	b, errB := os.Stat(f.Path)
	return errA == nil && errB == nil && os.SameFile(a, b)
}
