package config

import (
	"errors"
	"log/slog"
)

// LogFormat is how a line of the log looks. The zero LogFormat is text.
type LogFormat int

// The formats of the log.
const (
	LogText LogFormat = iota // key=value
	LogJSON                  // one JSON object a line
)

// String gives the format's name in a config.
func (f LogFormat) String() string {
	if f == LogJSON {
		return "json"
	}
	return "text"
}

// levels are the names of the log's levels, from the most talkative one.
var levels = map[string]slog.Level{
	"debug": slog.LevelDebug, "info": slog.LevelInfo, "warn": slog.LevelWarn, "error": slog.LevelError,
}

// ParseLevel reads the name of a level of the log, as a config and `warren
// log-level` have it.
func ParseLevel(name string) (slog.Level, error) {
	if level, ok := levels[name]; ok {
		return level, nil
	}
	return 0, errors.New("is not a level; allowed are debug, info, warn and error")
}

// LevelName is the name that ParseLevel reads as this level.
func LevelName(level slog.Level) string {
	for name, l := range levels {
		if l == level {
			return name
		}
	}
	return level.String()
}

// ParseLogFormat reads the name of a format, as a config and --log-format have
// it.
func ParseLogFormat(name string) (LogFormat, error) {
	for _, f := range []LogFormat{LogText, LogJSON} {
		if f.String() == name {
			return f, nil
		}
	}
	return 0, errors.New("is not a format; allowed are text and json")
}

func (l *loader) log(raw *rawLog) (out Log) {
	var err error
	if v := raw.Level; v.state == given {
		if out.Level, err = ParseLevel(v.v); err != nil {
			l.fail(v.place, "%q %v", v.v, err)
		}
	}
	if v := raw.Format; v.state == given {
		if out.Format, err = ParseLogFormat(v.v); err != nil {
			l.fail(v.place, "%q %v", v.v, err)
		}
	}
	return out
}
