package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"warren/internal/config"
)

func checkCmd() *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use:   "check [-c FILE]",
		Short: "validate the config, the peers' files and the key files",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := config.Load(file)
			if err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s: ok, router %q (AS %d), %d peers\n", file, cfg.Name, cfg.ASN, len(cfg.Peers))
			return nil
		},
	}
	configFlag(cmd, &file)
	return cmd
}
