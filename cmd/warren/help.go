package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// groups are the commands as `warren --help` shows them, by what one wants to do.
var groups = []cobra.Group{
	{ID: "set-up", Title: "Set up a router and its peers:"},
	{ID: "daemon", Title: "The daemon:"},
	{ID: "look", Title: "See how it is, and why:"},
	{ID: "operate", Title: "Take a peer or the router out of service, and back:"},
	{ID: "other", Title: "Others:"},
}

var grouped = map[string][]string{
	"set-up":  {"keygen", "invite", "join", "import", "check", "remove"},
	"daemon":  {"run", "reload", "confirm", "restart", "log-level", "cleanup"},
	"look":    {"status", "why", "history", "gobgp"},
	"operate": {"drain", "undrain", "down", "up", "reset"},
	"other":   {"version", "help"},
}

// arrange has the help show the commands in groups. A command's Use that has all its flags is not followed by "[flags]".
func arrange(root *cobra.Command) {
	for i := range groups {
		root.AddGroup(&groups[i])
	}
	root.SetHelpCommand(helpCmd())
	root.InitDefaultHelpCmd() // which adds it
	for _, cmd := range root.Commands() {
		for id, names := range grouped {
			if slices.Contains(names, cmd.Name()) {
				cmd.GroupID = id
			}
		}
		cmd.DisableFlagsInUseLine = hasAllFlags(cmd)
	}
}

func hasAllFlags(cmd *cobra.Command) bool {
	has := true
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		short := f.Shorthand != "" && strings.Contains(cmd.Use, "-"+f.Shorthand+" ")
		has = has && (f.Hidden || short || strings.Contains(cmd.Use, "--"+f.Name) || f.Name == "help")
	})
	return has
}

// helpCmd is cobra's, but for that a command that there is not is wrong use.
func helpCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "help [COMMAND]",
		Short: "show the help of a command",
		RunE: func(cmd *cobra.Command, args []string) error {
			of, rest, err := cmd.Root().Find(args)
			if err != nil || len(rest) > 0 {
				return usageError{fmt.Errorf("there is no command %q; `warren --help` lists them", strings.Join(args, " "))}
			}
			of.InitDefaultHelpFlag()
			return of.Help()
		},
		ValidArgsFunction: func(cmd *cobra.Command, args []string, _ string) (names []string, _ cobra.ShellCompDirective) {
			for _, c := range cmd.Root().Commands() {
				if len(args) == 0 && c.IsAvailableCommand() {
					names = append(names, c.Name()+"\t"+c.Short)
				}
			}
			return names, cobra.ShellCompDirectiveNoFileComp
		},
	}
}
