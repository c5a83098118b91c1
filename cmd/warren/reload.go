package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"warren/internal/config"
	"warren/internal/status"
)

func reloadCmd() *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use:   "reload [-c FILE]",
		Short: "have the daemon read its config again; print what changed or what is wrong",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			socket, err := config.Socket(file)
			if err != nil {
				return err
			}
			result, err := status.Reload(cmd.Context(), socket)
			if err != nil {
				return err
			}
			if len(result.Errors) > 0 {
				for _, line := range result.Errors {
					fmt.Fprintln(os.Stderr, line)
				}
				return errors.New("nothing was changed")
			}
			if len(result.Changes) == 0 {
				fmt.Fprintln(cmd.OutOrStdout(), "nothing to change")
			}
			for _, line := range result.Changes {
				fmt.Fprintln(cmd.OutOrStdout(), line)
			}
			return nil
		},
	}
	configFlag(cmd, &file)
	return cmd
}
