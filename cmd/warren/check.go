package main

import (
	"fmt"
	"path/filepath"

	"github.com/spf13/cobra"

	"warren/internal/agent"
)

func checkCmd() *cobra.Command {
	var file string
	var takesOver int
	cmd := &cobra.Command{
		Use:   "check [-c FILE]",
		Short: "validate the config, the peers' files and the key files",
		Long: "check says for each mistake where it is and what is allowed, and ends with 1. What is\n" +
			"legal and probably wrong on this host gets a line that begins with \"warning:\", and\n" +
			"check ends with 0. What could be better gets one that begins with \"hint:\".",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if takesOver != 0 && takesOver != agent.HandoverVersion {
				return fmt.Errorf("this version of warren cannot take over from the running daemon (what that leaves is of version %d, "+
					"and this one takes %d): stop it and start it (systemctl restart warren)", takesOver, agent.HandoverVersion)
			}
			cfg, err := agent.Load(file)
			if err != nil {
				return err
			}
			out := cmd.OutOrStdout()
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
			return nil
		},
	}
	configFlag(cmd, &file)
	cmd.Flags().IntVar(&takesOver, "takes-over", 0, "whether a daemon that leaves this `version` of its state can be replaced by this program")
	_ = cmd.Flags().MarkHidden("takes-over") // it is there
	return cmd
}
