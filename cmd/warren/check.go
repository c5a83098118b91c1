package main

import (
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"

	"github.com/spf13/cobra"

	"warren/internal/agent"
	"warren/internal/config"
)

func checkCmd() *cobra.Command {
	var file string
	var takesOver int
	var diff, asJSON bool
	cmd := &cobra.Command{
		Use:   "check [PEER] [--diff [--json]] [-c FILE]",
		Short: "validate the config, the peers' files and the key files",
		Long: "check reads the files as the daemon would, which need not run, and changes nothing.\n\n" +
			"It says for each mistake where it is and what is allowed, and ends with 1. What is\n" +
			"legal and probably wrong on this host gets a line that begins with \"warning:\", and\n" +
			"check ends with 0. What could be better gets one that begins with \"hint:\".\n\n" +
			"With PEER it says too what the peer's import and export come to: what is written, what is\n" +
			"default, and what holds whatever they say. With --diff it asks the running daemon what a\n" +
			"reload would change, as `warren reload --dry-run` does, and ends with 1 if one would be refused.",
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: completePeers(&file),
		RunE: func(cmd *cobra.Command, args []string) error {
			if takesOver != 0 && takesOver != agent.HandoverVersion {
				return fmt.Errorf("this version of warren cannot take over from the running daemon (what that leaves is of version %d, "+
					"and this one takes %d): stop it and start it (systemctl restart warren)", takesOver, agent.HandoverVersion)
			}
			cfg, err := agent.Load(file)
			if err != nil {
				return err
			}
			if !asJSON {
				checked(cmd.OutOrStdout(), file, cfg)
			}
			if len(args) == 1 {
				if err := printFilters(cmd.OutOrStdout(), cfg, args[0]); err != nil {
					return err
				}
			}
			if diff {
				socket, err := socketOf(cmd.Context(), cmd.ErrOrStderr(), file)
				if err != nil {
					return err
				}
				return foresee(cmd, socket, cfg.Path, asJSON)
			}
			return nil
		},
	}
	cmd.PreRunE = func(_ *cobra.Command, args []string) error {
		switch {
		case asJSON && !diff:
			return errors.New("--json goes with --diff only")
		case asJSON && len(args) > 0:
			return errors.New("--json and a peer cannot be given together")
		}
		return nil
	}
	cmd.Flags().BoolVar(&diff, "diff", false, "say what a reload of the running daemon would change")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print that as JSON, and nothing else")
	configFlag(cmd, &file)
	cmd.Flags().IntVar(&takesOver, "takes-over", 0, "whether a daemon that leaves this `version` of its state can be replaced by this program")
	_ = cmd.Flags().MarkHidden("takes-over") // it is there
	return cmd
}

// checked prints what there is to say of a valid config.
func checked(out io.Writer, file string, cfg *config.Config) {
	fmt.Fprintf(out, "%s: ok, router %q (AS %d), peers: %d\n", file, cfg.Name, cfg.ASN, len(cfg.Peers))
	for _, name := range cfg.Unread {
		fmt.Fprintf(out, "%s: not read: a peer's file ends in .toml\n", name)
	}
	if len(cfg.Peers) == 0 {
		fmt.Fprintf(out, "no peers: put one file for each into %s\n", filepath.Join(filepath.Dir(file), "peers.d"))
	}
	for _, line := range agent.Warnings(cfg) {
		fmt.Fprintln(out, "warning:", line)
	}
	for _, line := range agent.Hints(cfg) {
		fmt.Fprintln(out, "hint:", line)
	}
}

// printFilters prints what a peer's filters come to.
func printFilters(out io.Writer, cfg *config.Config, peer string) error {
	names := make([]string, len(cfg.Peers))
	for i, p := range cfg.Peers {
		names[i] = p.Name
	}
	if !slices.Contains(names, peer) {
		return unknownPeer(names, peer)
	}
	lines, err := agent.Filters(cfg, peer)
	for _, line := range lines {
		fmt.Fprintln(out, line)
	}
	return err
}
