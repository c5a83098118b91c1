package main

import (
	"fmt"
	"slices"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// mayBeEmpty are the flags whose value may be empty, which is then the same as no value.
var mayBeEmpty = []string{"message", "warning", "critical"}

// refuseEmpty has all commands refuse arguments and flags' values that are empty. A script whose variable is not set
// gives such, and would drain all peers instead of one, or write to a place that it has not named. What gobgp is given
// is another program's.
func refuseEmpty(root *cobra.Command) {
	for _, cmd := range root.Commands() {
		if cmd.DisableFlagParsing {
			continue
		}
		validate := cmd.Args
		cmd.Args = func(cmd *cobra.Command, args []string) error {
			if err := empty(cmd, args); err != nil || validate == nil {
				return err
			}
			return validate(cmd, args)
		}
	}
}

// unset is what is said of a value that is empty, after the subject.
const unset = "is empty: is a variable not set? Leave it out where none is meant"

// empty names the first value that is empty; nil: none is.
func empty(cmd *cobra.Command, args []string) (err error) {
	cmd.Flags().Visit(func(f *pflag.Flag) {
		if err == nil && f.Value.String() == "" && !slices.Contains(mayBeEmpty, f.Name) {
			err = fmt.Errorf("the value of --%s %s", f.Name, unset)
		}
	})
	if i := slices.Index(args, ""); err == nil && i >= 0 {
		err = fmt.Errorf("argument %d %s", i+1, unset)
	}
	return err
}
