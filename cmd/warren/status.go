package main

import (
	"encoding/json"

	"github.com/spf13/cobra"

	"warren/internal/config"
	"warren/internal/status"
)

func statusCmd() *cobra.Command {
	var file string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "status [--json] [-c FILE]",
		Short: "show the peers: tunnels, BGP sessions, routes",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			socket, err := config.Socket(file)
			if err != nil {
				return err
			}
			s, err := status.Get(cmd.Context(), socket)
			if err != nil {
				return err
			}
			if !asJSON {
				return status.Table(cmd.OutOrStdout(), s)
			}
			enc := json.NewEncoder(cmd.OutOrStdout())
			enc.SetIndent("", "  ")
			return enc.Encode(s)
		},
	}
	configFlag(cmd, &file)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}
