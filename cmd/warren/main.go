// Command warren is a BGP-speaking routing agent over point-to-point tunnels.
//
// main only wires: each subcommand has a file of its own, and everything that
// the daemon does is in internal/agent.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"warren/internal/config"
)

// These are set by the linker (see the Makefile).
var (
	version    = "unknown"
	commit     string // of the repository
	commitTime string // in seconds since 1970
)

const defaultConfig = "/etc/warren/warren.toml"

// What the command ends with. Scripts tell by it whether to try again.
const (
	exitFailed = 1 // it did not succeed
	exitNobody = 2 // of status --check: no daemon answers
	exitUsage  = 3 // it was called wrongly, and has done nothing
)

// execute runs the command that the arguments name, and returns its exit status.
func execute(ctx context.Context, cmd *cobra.Command) int {
	begun := false
	noteBeginning(cmd, &begun)
	out := &checkedOutput{Writer: cmd.OutOrStdout()}
	cmd.SetOut(out)
	err := cmd.ExecuteContext(ctx)
	if err == nil && out.err != nil {
		begun, err = true, fmt.Errorf("not all of the output could be written: %w", out.err)
	}
	if err == nil {
		return 0
	}
	var usage usageError
	var ends exitError
	wrong := !begun || errors.As(err, &usage)
	if !errors.As(err, new(reported)) {
		fmt.Fprint(cmd.ErrOrStderr(), text(err))
	}
	if wrong {
		return exitUsage
	}
	if errors.As(err, &ends) {
		return ends.code
	}
	return exitFailed
}

// exitError is an error with which a command ends otherwise than with exitFailed.
type exitError struct {
	error
	code int
}

func (e exitError) Unwrap() error { return e.error }

// checkedOutput is a command's output, which keeps the first error of a write: most commands look at none.
type checkedOutput struct {
	io.Writer
	err error
}

func (o *checkedOutput) Write(b []byte) (int, error) {
	n, err := o.Writer.Write(b)
	if err != nil && o.err == nil {
		o.err = err
	}
	return n, err
}

// noteBeginning has begun become true when a command begins its work. What fails
// before is what cobra found wrong with the arguments.
func noteBeginning(cmd *cobra.Command, begun *bool) {
	if run := cmd.RunE; run != nil {
		cmd.RunE = func(cmd *cobra.Command, args []string) error {
			*begun = true
			return run(cmd, args)
		}
	}
	for _, c := range cmd.Commands() {
		noteBeginning(c, begun)
	}
}

// usageError is wrong use that a command itself has found.
type usageError struct{ error }

// reported is an error that has been told already.
type reported struct{ error }

func root() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "warren",
		Short: "BGP-speaking routing agent over point-to-point tunnels",
		Long: "Warren keeps an encrypted point-to-point tunnel to each peer, speaks BGP inside it,\n" +
			"and keeps the kernel's routes in step with what the peers announce.\n\n" +
			"The router's configuration is /etc/warren/warren.toml, and that of each peer a file in /etc/warren/peers.d, by hand or\n" +
			"by `warren invite` and `warren join`; warren.toml(5) has all keys. `warren check` says what is wrong with them,\n" +
			"`systemctl start warren` or `warren run` starts the daemon, and `warren status` shows how it is.",
		// Errors are printed by execute, once; usage only when asked for.
		SilenceErrors: true,
		SilenceUsage:  true,
		RunE: func(*cobra.Command, []string) error {
			return usageError{errors.New("no command is given; `warren --help` lists them")}
		},
	}
	cmd.CompletionOptions.HiddenDefaultCmd = true
	cmd.CompletionOptions.SetDefaultShellCompDirective(cobra.ShellCompDirectiveNoFileComp)
	cmd.AddCommand(
		runCmd(), checkCmd(), keygenCmd(), importCmd(),
		statusCmd(), whyCmd(), historyCmd(), gobgpCmd(),
		reloadCmd(), confirmCmd(), restartCmd(), logLevelCmd(), cleanupCmd(),
		inviteCmd(), joinCmd(), removeCmd(),
		drainCmd(), undrainCmd(), downCmd(), upCmd(), resetCmd(),
		versionCmd(), speakerCmd(),
	)
	arrange(cmd)
	refuseEmpty(cmd)
	return cmd
}

// configFlag adds the -c that most commands share.
func configFlag(cmd *cobra.Command, file *string) {
	cmd.Flags().StringVarP(file, "config", "c", defaultConfig, "the router's config `file`; peers.d is beside it")
	completeFiles(cmd, "config", "toml")
}

// text is an error for a person, a line or more. A config's mistakes are a line
// each, in the form that editors and grep understand.
func text(err error) string {
	var mistakes config.Errors
	if !errors.As(err, &mistakes) {
		return fmt.Sprintf("warren: %v\n", err)
	}
	return mistakes.Error() + "\n"
}
