package main

import (
	"errors"

	"github.com/spf13/cobra"

	"warren/internal/speaker/child"
)

func speakerCmd() *cobra.Command {
	return &cobra.Command{
		Use:    "speaker",
		Short:  "the process that speaks BGP, which `warren run` starts",
		Hidden: true,
		Args:   cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			err := child.Main()
			if errors.Is(err, child.ErrNotStarted) {
				return usageError{err}
			}
			return err
		},
	}
}
