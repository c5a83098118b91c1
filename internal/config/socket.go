package config

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/BurntSushi/toml"
)

// Socket returns where the daemon that was started with the config at path can
// be asked. It looks at nothing else in the file: a config that is being edited
// and has mistakes must not keep an operator from asking how things are.
// Without a config at the default place, or without leave to read it, that is the
// default socket.
func Socket(path string) (string, error) {
	text, err := os.ReadFile(path)
	if path == DefaultPath && (errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission)) {
		return defaultSocket, nil
	}
	if err != nil {
		return "", fmt.Errorf("config: %w", err)
	}
	var raw struct {
		API struct {
			Socket string `toml:"socket"`
		} `toml:"api"`
	}
	if _, err := toml.Decode(string(text), &raw); err != nil {
		return "", fmt.Errorf("config: %s: %w", path, err)
	}
	if raw.API.Socket == "" {
		return defaultSocket, nil
	}
	if !filepath.IsAbs(raw.API.Socket) {
		return "", fmt.Errorf("config: %s: api.socket %q must be an absolute path", path, raw.API.Socket)
	}
	return raw.API.Socket, nil
}
