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
	api, err := apiAt(path, func(l *loader, raw *rawAPI) API {
		if raw.Socket.state == faulty {
			l.fail(raw.Socket.place, "is not a string, in quotes")
		}
		return API{Socket: l.socket(raw.Socket)}
	})
	return api.Socket, err
}

// Reach is Socket for all ways in which the daemon can be asked.
func Reach(path string) (API, error) {
	return apiAt(path, func(l *loader, raw *rawAPI) API {
		for _, v := range []value[string]{raw.Socket, raw.Gobgp} {
			if v.state == faulty {
				l.fail(v.place, "is not a string, in quotes")
			}
		}
		return l.api(raw)
	})
}

// apiAt has read take what it needs of [api].
func apiAt(path string, read func(*loader, *rawAPI) API) (API, error) {
	data, err := readFile(path, public)
	if path == DefaultPath && (errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission)) {
		return read(&loader{}, &rawAPI{}), nil
	}
	if err != nil {
		return API{}, fmt.Errorf("config: %s: %w", path, err)
	}
	var raw rawRouter
	l := &loader{}
	if !l.decode(path, data, &raw) {
		return API{}, l.errs
	}
	l.errs = nil // of other keys
	api := read(l, &raw.API)
	if len(l.errs) > 0 {
		return API{}, l.errs
	}
	return api, nil
}
