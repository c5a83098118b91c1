package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"warren/internal/access"
	"warren/internal/config"
	"warren/internal/status"
)

// askWithin bounds how long a daemon is waited for that is asked which config it reads.
const askWithin = 5 * time.Second

// socketOf returns where the daemon of a config can be asked. A daemon stays at the socket that it was started with while
// api.socket is edited, so where nobody listens at the one in the file, or that is none, the daemon at the default socket is
// looked at, and then those that listen elsewhere on this host; one that reads this config is taken. words is told of that.
func socketOf(ctx context.Context, words io.Writer, file string) (string, error) {
	return socketOr(ctx, words, file, config.DefaultSocket)
}

func socketOr(ctx context.Context, words io.Writer, file, usual string) (string, error) {
	socket, err := config.Socket(file)
	if err == nil && status.Listens(ctx, socket) {
		return socket, nil
	}
	found := findDaemon(ctx, file, usual, socket)
	if found == "" {
		return socket, err
	}
	if err != nil {
		fmt.Fprintf(words, "warning: %v\n", err)
	} else {
		fmt.Fprintf(words, "warning: api.socket of %s was changed to %s since warren was started: `systemctl restart warren` applies it\n", file, socket)
	}
	fmt.Fprintf(words, "warning: warren is asked at %s, where it listens\n", found)
	return found, nil
}

// maxAsked bounds how many daemons are asked that listen elsewhere.
const maxAsked = 16

// findDaemon returns the socket of the daemon that reads a config, where nobody listens at the one in the file; "": none is found.
func findDaemon(ctx context.Context, file, usual, socket string) string {
	if socket != usual && readsConfig(ctx, usual, file) {
		return usual
	}
	ctx, cancel := context.WithTimeout(ctx, askWithin)
	defer cancel()
	data, err := os.ReadFile("/proc/net/unix")
	if err != nil {
		return ""
	}
	asked := 0
	for _, path := range listening(string(data)) {
		if path == usual || path == socket || !isDaemons(path) {
			continue
		}
		if asked++; asked > maxAsked {
			break
		}
		if readsConfig(ctx, path, file) {
			return path
		}
	}
	return ""
}

// listening are the paths of the stream sockets that listen, in the words of /proc/net/unix (unix_seq_show in Linux'
// net/unix/af_unix.c), sorted: each line has a number, a count, a protocol, flags, a type, a state, an inode and the path.
func listening(table string) (paths []string) {
	const accepts, stream = "00010000", "0001" // __SO_ACCEPTCON and SOCK_STREAM
	for line := range strings.Lines(table) {
		f := strings.Fields(line)
		if len(f) == 8 && f[3] == accepts && f[4] == stream && filepath.IsAbs(f[7]) {
			paths = append(paths, f[7])
		}
	}
	slices.Sort(paths)
	return slices.Compact(paths)
}

// isDaemons reports whether a socket can be one of warren's, which has a lock beside it, and whether nobody else than root and
// this user can have made it: what answers there is believed.
func isDaemons(path string) bool {
	for _, file := range []string{path, path + ".lock"} {
		info, err := os.Lstat(file)
		if err != nil || access.Owner(file, info) != nil {
			return false
		}
	}
	dir := filepath.Dir(path)
	info, err := os.Stat(dir)
	return err == nil && access.Dir(dir, info) == nil
}

// noDaemon says that none was found that reads a config.
func noDaemon(file string) string {
	asked := config.DefaultSocket
	if socket, err := config.Socket(file); err == nil && socket != asked {
		asked = socket + " and " + asked
	}
	return fmt.Sprintf("No daemon with this configuration was found (asked at %s)", asked)
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
