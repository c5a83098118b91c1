package config

import (
	"errors"
	"fmt"
	"io/fs"
)

// Socket returns where the daemon that was started with the config at path can
// be asked. It looks at nothing else in the file: a config that is being edited
// and has mistakes must not keep an operator from asking how things are.
// Without a config at the default place, or without leave to read it, that is the
// default socket.
func Socket(path string) (string, error) {
	data, err := readFile(path, public)
	if path == DefaultPath && (errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission)) {
		return defaultSocket, nil
	}
	if err != nil {
		return "", fmt.Errorf("config: %s: %w", path, err)
	}
	var raw rawRouter
	l := &loader{}
	if !l.decode(path, data, &raw) {
		return "", l.errs
	}
	l.errs = nil // of other keys
	socket := l.socket(raw.API.Socket)
	if raw.API.Socket.state == faulty {
		l.fail(raw.API.Socket.place, "is not a string, in quotes")
	}
	if len(l.errs) > 0 {
		return "", l.errs
	}
	return socket, nil
}
