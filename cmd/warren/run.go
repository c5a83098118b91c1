package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/spf13/cobra"

	"warren/internal/agent"
	"warren/internal/config"
	"warren/internal/handover"
	"warren/internal/logging"
)

// flushTime bounds how long the end of the daemon waits for the log's reader.
const flushTime = time.Second

func runCmd() *cobra.Command {
	var o runOptions
	cmd := &cobra.Command{
		Use:   "run [-c FILE] [--debug] [--log-format text|json]",
		Short: "run the daemon",
		Long: "run keeps a tunnel and a BGP session to every peer until it is told to stop.\n" +
			"SIGHUP reloads the config, SIGTERM stops cleanly, SIGUSR1 has it log at level\n" +
			"debug, and again at the one before. It logs to standard error. The unit warren.service\n" +
			"runs it; by hand it stays in the foreground.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return o.run(cmd.Context()) },
	}
	configFlag(cmd, &o.file)
	cmd.Flags().BoolVar(&o.debug, "debug", false, "log at level debug, whatever [log] level says")
	cmd.Flags().Var(&o.format, "log-format", "`text` or json, whatever [log] format says")
	complete(cmd, "log-format", cobra.FixedCompletions([]string{"text", "json"}, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

// runOptions are the flags of run.
type runOptions struct {
	file   string
	debug  bool
	format formatFlag
}

// run is the daemon's life. Its error has been written to the log, which a
// reader that has stopped cannot make wait.
func (o *runOptions) run(ctx context.Context) error {
	left, leftErr := handover.Take() // before anything is started or opened
	log := logging.Stderr()
	defer log.Close(flushTime)
	slog.SetDefault(log.Logger()) // for libraries that know no other
	first := o.overLog(config.Log{})
	log.Set(logging.Settings{Level: first.Level, JSON: first.Format == config.LogJSON})
	program, err := handover.Program()
	if err = errors.Join(leftErr, err); err == nil {
		var a *agent.Agent
		a, err = agent.New(agent.Options{
			Path: o.file, Version: version, Log: log, OverrideLog: o.overLog, Handover: left, Program: program,
		})
		if err == nil {
			err = a.Run(ctx)
		}
	}
	if err != nil {
		log.Plain(slog.LevelError, text(err))
		return reported{err}
	}
	return nil
}

// overLog is what the flags say over what the config says.
func (o *runOptions) overLog(c config.Log) config.Log {
	if o.debug {
		c.Level = slog.LevelDebug
	}
	if o.format.given {
		c.Format = o.format.LogFormat
	}
	return c
}

// formatFlag is a config.LogFormat as a flag.
type formatFlag struct {
	config.LogFormat
	given bool
}

func (f *formatFlag) Type() string { return "text" }

func (f *formatFlag) String() string {
	if !f.given {
		return ""
	}
	return f.LogFormat.String()
}

func (f *formatFlag) Set(name string) (err error) {
	if f.LogFormat, err = config.ParseLogFormat(name); err != nil {
		return fmt.Errorf("it %w", err)
	}
	f.given = true
	return nil
}
