package main

import (
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"warren/internal/status"
)

func reloadCmd() *cobra.Command {
	var file string
	var o reloadOptions
	cmd := &cobra.Command{
		Use:   "reload [--dry-run [--json] | --confirm 5m | --undo] [-c FILE]",
		Short: "have the daemon read its config again; print what changed or what is wrong",
		Long: "reload has the running daemon read its config again, and prints what that has changed. What did not change\n" +
			"stays up. If something is wrong, it changes nothing and ends with 1.\n\n" +
			"With --dry-run nothing changes: it prints what would, peer by peer, what would stay up, and what would begin\n" +
			"again because of which key.\n\n" +
			"With --confirm the daemon goes back by itself to the configuration before, unless `warren confirm` comes within\n" +
			"the time: for a change to the tunnel by which one reaches the router. The files stay as they are. Until then a\n" +
			"reload without --confirm is refused; one with it is applied, and the time begins again. A daemon that is stopped\n" +
			"and started meanwhile takes what the files say.\n\n" +
			"With --undo the daemon does not read the files: it goes back at once to the configuration before the reload that\n" +
			"waits to be confirmed. It ends with 1 if none does.",
		Example: "  warren reload --dry-run\n  warren reload --confirm 5m && ping -c 3 10.2.0.1 && warren confirm",
		Args:    cobra.NoArgs,
		RunE:    atDaemon(&file, o.run),
	}
	configFlag(cmd, &file)
	cmd.Flags().BoolVar(&o.dryRun, "dry-run", false, "say what would change, and change nothing")
	cmd.Flags().BoolVar(&o.asJSON, "json", false, "print what would change as JSON")
	cmd.Flags().Var(&o.within, "confirm", "go back by itself unless that is confirmed within a `duration` such as 5m")
	cmd.Flags().BoolVar(&o.undo, "undo", false, "go back at once to what was before a reload with --confirm")
	cmd.MarkFlagsMutuallyExclusive("dry-run", "confirm", "undo")
	cmd.PreRunE = func(*cobra.Command, []string) error {
		if o.asJSON && !o.dryRun {
			return errors.New("--json goes with --dry-run only")
		}
		return nil
	}
	return cmd
}

type reloadOptions struct {
	dryRun, asJSON, undo bool

	within tryFlag
}

func (o *reloadOptions) run(cmd *cobra.Command, socket string) error {
	if o.dryRun {
		return foresee(cmd, socket, "", o.asJSON)
	}
	if o.undo {
		result, err := status.Undo(cmd.Context(), socket)
		return reloaded(cmd, result, err)
	}
	if o.within > 0 {
		result, err := status.Try(cmd.Context(), socket, time.Duration(o.within))
		return reloaded(cmd, result, err)
	}
	result, err := status.Reload(cmd.Context(), socket)
	return reloaded(cmd, result, err)
}

// reloaded prints what a reload has done.
func reloaded(cmd *cobra.Command, r status.ReloadResult, err error) error {
	if err != nil {
		return err
	}
	if err := refused(cmd, r.Errors, "nothing was changed"); err != nil {
		return err
	}
	out := cmd.OutOrStdout()
	if len(r.Changes) == 0 {
		fmt.Fprintln(out, "nothing to change")
	}
	for _, line := range r.Changes {
		fmt.Fprintln(out, line)
	}
	if !r.GoesBack.IsZero() {
		fmt.Fprintf(out, "at %s this is taken back, unless `warren confirm` comes before; `warren reload --undo` does it now\n", r.GoesBack.Local().Format("15:04:05"))
	}
	return nil
}

// foresee prints what a reload would do. path is of the config that was looked at here; "": none was.
func foresee(cmd *cobra.Command, socket, path string, asJSON bool) error {
	f, err := status.Foresee(cmd.Context(), socket)
	if err == nil && path != "" && path != f.Path {
		fmt.Fprintf(cmd.ErrOrStderr(), "warning: the daemon reads %s, and what follows is about that\n", f.Path)
	}
	if err := show(cmd.OutOrStdout(), f, err, asJSON, status.ForetoldText); err != nil {
		return err
	}
	return refused(cmd, f.Errors, "a reload would change nothing")
}

func confirmCmd() *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use:   "confirm [-c FILE]",
		Short: "keep what `warren reload --confirm` has changed",
		Long: "confirm has the daemon keep what `warren reload --confirm` has changed, which it would take back otherwise.\n" +
			"It ends with 1 if nothing waits for that, as when it comes too late. To go back at once is `warren reload --undo`.",
		Args: cobra.NoArgs,
		RunE: atDaemon(&file, func(cmd *cobra.Command, socket string) error {
			result, err := status.Confirm(cmd.Context(), socket)
			if err == nil {
				err = refused(cmd, result.Errors, "nothing was confirmed")
			}
			return reloaded(cmd, result, err)
		}),
	}
	configFlag(cmd, &file)
	return cmd
}

// atDaemon makes the work of a command without arguments that asks the daemon of a config.
func atDaemon(file *string, do func(cmd *cobra.Command, socket string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, _ []string) error {
		socket, err := socketOf(cmd.Context(), cmd.ErrOrStderr(), *file)
		if err != nil {
			return err
		}
		return do(cmd, socket)
	}
}

// refused prints why the daemon has not done what was asked, and returns what that means; nil: it has.
func refused(cmd *cobra.Command, lines []string, means string) error {
	if len(lines) == 0 {
		return nil
	}
	for _, line := range lines {
		fmt.Fprintln(cmd.ErrOrStderr(), line)
	}
	return errors.New(means)
}

// tryFlag is for how long a reload waits to be confirmed; 0: it is not given.
type tryFlag time.Duration

func (f *tryFlag) Type() string { return "duration" }

func (f *tryFlag) String() string {
	if *f == 0 {
		return ""
	}
	return time.Duration(*f).String()
}

func (f *tryFlag) Set(text string) error {
	d, err := status.ParseTry(text)
	*f = tryFlag(d)
	return err
}
