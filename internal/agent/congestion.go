package agent

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"warren/internal/config"
	"warren/internal/speaker"
	"warren/tunnel"
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
func Hints(cfg *config.Config) []string {
	return append(congestionHints(cfg, tlslink.CheckCongestion), userHints(speaker.HasOwnUser())...)
}

func userHints(own bool) []string {
	if own {
		return nil
	}
	return []string{"there is no user " + speaker.OwnUser + ", so that the BGP speaker's process runs as nobody, and whatever else runs as nobody " +
		"can stop it; `useradd --system --user-group --home-dir / --no-create-home --shell /usr/sbin/nologin " + speaker.OwnUser +
		"` makes one, as the package does"}
}

func congestionHints(cfg *config.Config, check func(name string) error) []string {
	if !cfg.UsesAutoCongestion() || check(tlslink.BestCongestion) == nil {
		return nil
	}
	return []string{lacksBest("tunnels over TLS use the kernel's default congestion control, " + tlslink.DefaultCongestion())}
}

// lacksBest says what to do where tunnels use another congestion control because the kernel does not have the best.
func lacksBest(what string) string {
	return fmt.Sprintf("%s, as it does not give %s, with which they carry "+
		"much more over paths that lose packets; where the kernel has it as a module, `modprobe tcp_%[2]s` loads it (of a container, on its host), "+
		"and a line tcp_%[2]s in /etc/modules-load.d/warren.conf does so at each boot", what, tlslink.BestCongestion)
}

// lesser collects the tunnels over TLS that do not use the best congestion control though it was left to Warren.
type lesser struct {
	names []string // of the peers, where the kernel does not have it
	uses  string   // what they use instead, as the first
}

// note takes a tunnel's status, and returns a hint about that tunnel alone.
func (o *lesser) note(a *attachment, s tunnel.Status) string {
	switch {
	case s.State != tunnel.StateUp || s.CongestionErr == nil || s.Congestion == "" || s.Congestion == tlslink.BestCongestion:
		return ""
	case errors.Is(s.CongestionErr, fs.ErrNotExist):
		if !slices.Contains(o.names, a.peer.name) {
			o.names, o.uses = append(o.names, a.peer.name), cmp.Or(o.uses, s.Congestion)
		}
		return ""
	}
	return fmt.Sprintf("the tunnel's connection uses the congestion control %s and not %s, with which it would carry much more over a path that loses packets: %v; "+
		"if that is meant, congestion = %[1]q in [tunnel] ends this hint", s.Congestion, tlslink.BestCongestion, s.CongestionErr)
}

// hint is about all those that a module of the kernel would help; "": none.
func (o *lesser) hint() string {
	if len(o.names) == 0 {
		return ""
	}
	return lacksBest(fmt.Sprintf("over TLS the tunnels to %s use the kernel's default congestion control, %s", few(o.names), o.uses)) +
		"; connections use it that are made then, all of them within the hour"
}
