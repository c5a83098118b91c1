package main

import (
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"warren/internal/config"
)

// completePeers completes the first argument of a command, a peer's name, from the files that
// are beside *file: the daemon need not run.
func completePeers(file *string) cobra.CompletionFunc {
	return func(_ *cobra.Command, args []string, begun string) ([]string, cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return peersThatBegin(*file, begun), cobra.ShellCompDirectiveNoFileComp
	}
}

// completePeerFlags completes the values of flags, which are peers' names, in the same way.
// It panics if a flag is not there.
func completePeerFlags(cmd *cobra.Command, file *string, flags ...string) {
	for _, name := range flags {
		complete(cmd, name, func(_ *cobra.Command, _ []string, begun string) ([]string, cobra.ShellCompDirective) {
			return peersThatBegin(*file, begun), cobra.ShellCompDirectiveNoFileComp
		})
	}
}

func peersThatBegin(file, begun string) []string {
	return slices.DeleteFunc(config.PeerNames(file), func(name string) bool { return !strings.HasPrefix(name, begun) })
}

// completeFiles has a flag completed by files with these endings, or by any if there are none.
func completeFiles(cmd *cobra.Command, flag string, endings ...string) {
	directive := cobra.ShellCompDirectiveFilterFileExt
	if len(endings) == 0 {
		directive = cobra.ShellCompDirectiveDefault
	}
	complete(cmd, flag, cobra.FixedCompletions(endings, directive))
}

// complete panics where cobra refuses, as it does for a flag that is not there: that is a
// mistake in this program.
func complete(cmd *cobra.Command, flag string, by cobra.CompletionFunc) {
	if err := cmd.RegisterFlagCompletionFunc(flag, by); err != nil {
		panic(err)
	}
}
