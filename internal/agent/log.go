package agent

import (
	"fmt"

	"warren/internal/config"
)

// setLog has the log be as the config says, and as the command line says over that.
func (a *Agent) setLog(c config.Log) { a.opts.Log.Set(logSettings(a.overLog(c))) }

// logChange returns what setLog would change, "" if nothing.
func (a *Agent) logChange(c config.Log) string {
	if c = a.overLog(c); a.opts.Log.Is(logSettings(c)) {
		return ""
	}
	return fmt.Sprintf("log: level %s, format %s", config.LevelName(c.Level), c.Format)
}

func (a *Agent) overLog(c config.Log) config.Log {
	if a.opts.OverrideLog != nil {
		return a.opts.OverrideLog(c)
	}
	return c
}

// setLogLevel is `warren log-level`.
func (a *Agent) setLogLevel(name string) error {
	level, err := config.ParseLevel(name)
	if err != nil {
		return fmt.Errorf("%q %w", name, err)
	}
	a.opts.Log.SetLevel(level)
	a.log.Info("log level changed", "level", name)
	return nil
}

func (a *Agent) toggleDebug() {
	a.log.Info("log level changed", "level", config.LevelName(a.opts.Log.ToggleDebug()))
}
