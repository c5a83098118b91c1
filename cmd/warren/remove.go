package main

import (
	"bufio"
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"warren/internal/agent"
	"warren/internal/peerfile"
)

func removeCmd() *cobra.Command {
	var file string
	var yes bool
	cmd := &cobra.Command{
		Use:   "remove PEER [--yes]",
		Short: "remove a peer's file and the secrets that only it uses",
		Long: "remove deletes the file of a peer, or its part of a file of several peers, and the files with\n" +
			"secrets that no other peer uses, shows that before, and has a running daemon read the files again.",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: completePeers(&file),
		RunE: func(cmd *cobra.Command, args []string) error {
			path, err := filepath.Abs(file)
			if err != nil {
				return err
			}
			c, err := agent.Load(path)
			if err != nil {
				return err
			}
			plan, err := peerfile.Removal(c, args[0])
			if err != nil {
				return err
			}
			words := cmd.ErrOrStderr()
			showRemoval(words, plan, args[0])
			if err := confirm(cmd.Context(), words, bufio.NewReader(cmd.InOrStdin()), yes, "Remove "+args[0]+"?"); err != nil {
				return err
			}
			if err := carryOut(cmd.Context(), plan); err != nil {
				return err
			}
			lines, running, err := reloadRunning(cmd.Context(), file)
			if err != nil {
				return fmt.Errorf("the files are removed, but of the reload after that: %w; `warren reload` has the daemon follow", err)
			}
			if !running {
				lines = []string{noDaemon(file) + "."}
			}
			for _, line := range lines {
				fmt.Fprintln(cmd.OutOrStdout(), line)
			}
			return nil
		},
	}
	configFlag(cmd, &file)
	cmd.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask")
	return cmd
}

// showRemoval says what is going to be done.
func showRemoval(w io.Writer, p *peerfile.Plan, name string) {
	var b strings.Builder
	for _, f := range p.Change {
		fmt.Fprintf(&b, "%s: [peer.%s] is taken out, the other peers and all comments outside it stay\n", f.Path, name)
	}
	for _, file := range p.Delete {
		fmt.Fprintf(&b, "%s: deleted\n", file)
	}
	for _, file := range p.Left {
		fmt.Fprintf(&b, "%s: left, as it is elsewhere; nothing here uses it then\n", file)
	}
	fmt.Fprint(w, b.String())
}
