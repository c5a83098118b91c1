package agent

import (
	"fmt"

	"warren/internal/config"
	"warren/tunnel/tlslink"
)

// Load loads the config at path, and makes sure that this host's kernel can do what it asks for.
// The error is a config.Errors.
func Load(path string) (*config.Config, error) {
	cfg, err := config.Load(path)
	if err != nil {
		return nil, err
	}
	if err := cfg.CheckCongestion(tlslink.CheckCongestion); err != nil {
		return nil, err
	}
	return cfg, nil
}

// Hints returns a line for each thing that could be better on this host, though nothing is wrong.
func Hints(cfg *config.Config) []string { return congestionHints(cfg, tlslink.CheckCongestion) }

func congestionHints(cfg *config.Config, check func(name string) error) []string {
	if !cfg.UsesAutoCongestion() || check(tlslink.BestCongestion) == nil {
		return nil
	}
	return []string{fmt.Sprintf("tunnels over TLS use the kernel's default congestion control, %s, as it does not give %s, with which they carry "+
		"much more over paths that lose packets; where the kernel has it as a module, `modprobe tcp_%[2]s` loads it (of a container, on its host), "+
		"and a line tcp_%[2]s in /etc/modules-load.d/warren.conf does so at each boot", tlslink.DefaultCongestion(), tlslink.BestCongestion)}
}
