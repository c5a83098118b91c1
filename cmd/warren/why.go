package main

import (
	"errors"

	"github.com/spf13/cobra"

	"warren/internal/status"
)

func whyCmd() *cobra.Command {
	var file string
	var from, to string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "why PREFIX|ADDRESS [--from PEER] [--to PEER] [--json] [-c FILE]",
		Short: "say why a prefix has the route that it has, or none, and to whom it is announced",
		Long: "Say what became of each peer's route to a prefix, or to the longest prefix that an address is in: which one is\n" +
			"used and why, and what refused the others; what the kernel does with a packet to it now; to which peers it is\n" +
			"announced, and why not to the others.",
		Example: "  warren why 10.2.0.0/24\n  warren why 10.2.0.7 --from site-b\n  warren why 2001:db8:2::/48 --to site-c",
		Args: func(cmd *cobra.Command, args []string) error {
			if err := cobra.ExactArgs(1)(cmd, args); err != nil {
				return err
			}
			_, err := status.ParseWhy(args[0])
			return err
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			socket, err := socketOf(cmd.Context(), cmd.ErrOrStderr(), file)
			if err != nil {
				return err
			}
			y, err := status.GetWhy(cmd.Context(), socket, args[0], from, to)
			if errors.Is(err, status.ErrNoPeer) {
				return usageError{err}
			}
			return show(cmd.OutOrStdout(), y, err, asJSON, status.WhyTable)
		},
	}
	configFlag(cmd, &file)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	cmd.Flags().StringVar(&from, "from", "", "only what comes from this `peer`")
	cmd.Flags().StringVar(&to, "to", "", "only whether this `peer` is told")
	completePeerFlags(cmd, &file, "from", "to")
	return cmd
}
