package agent

import (
	"fmt"

	"warren/internal/config"
)

// setLog has the log be as the config says, and as the command line says over
// that. It returns what has changed, "" if nothing has.
func (a *Agent) setLog(c config.Log) (change string) {
	if a.opts.OverrideLog != nil {
		c = a.opts.OverrideLog(c)
	}
	if !a.opts.Log.Set(logSettings(c)) {
		return ""
	}
	return fmt.Sprintf("log: level %s, format %s", config.LevelName(c.Level), c.Format)
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
