package main

import (
	"encoding/json"
	"io"

	"github.com/spf13/cobra"

	"warren/internal/config"
	"warren/internal/status"
)

func statusCmd() *cobra.Command {
	var file string
	var asJSON, routes bool
	cmd := &cobra.Command{
		Use:   "status [--json] [--routes [PREFIX|ADDRESS]] [-c FILE]",
		Short: "show the peers: tunnels, BGP sessions, routes",
		Long: "Show the peers: tunnels, BGP sessions, routes. With --routes show the ways of a prefix, of the longest prefix\n" +
			"that an address is in, or of all: which are used, which are in reserve, and whose tunnel is down.",
		Args: func(cmd *cobra.Command, args []string) error {
			if !routes {
				return cobra.NoArgs(cmd, args)
			}
			if err := cobra.MaximumNArgs(1)(cmd, args); err != nil || len(args) == 0 {
				return err
			}
			_, err := status.ParseRoutesOf(args[0])
			return err
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			socket, err := config.Socket(file)
			if err != nil {
				return err
			}
			if routes {
				r, err := status.GetRoutes(cmd.Context(), socket, append(args, "")[0])
				return show(cmd.OutOrStdout(), r, err, asJSON, status.RoutesTable)
			}
			s, err := status.Get(cmd.Context(), socket)
			return show(cmd.OutOrStdout(), s, err, asJSON, status.Table)
		},
	}
	configFlag(cmd, &file)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	cmd.Flags().BoolVar(&routes, "routes", false, "show the ways of prefixes")
	return cmd
}

// show prints an answer, unless there is none.
func show[T any](w io.Writer, answer T, err error, asJSON bool, table func(io.Writer, T) error) error {
	switch {
	case err != nil:
		return err
	case !asJSON:
		return table(w, answer)
	}
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(answer)
}
