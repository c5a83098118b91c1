package main

import (
	"encoding/json"
	"fmt"
	"io"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// build says what this program was made of.
type build struct {
	Version  string `json:"version"`
	Commit   string `json:"commit,omitempty"`   // of the source's repository; "" if that is not known
	Date     string `json:"date,omitempty"`     // of the commit, RFC 3339
	Modified bool   `json:"modified,omitempty"` // the source was not as in the commit
	Go       string `json:"go"`
	Platform string `json:"platform"` // as linux/amd64
}

// thisBuild takes commit and date from what Go writes into a program that it builds in a
// repository. The date of the build itself is nowhere, so that it can be repeated.
func thisBuild() build {
	b := build{Version: version, Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return b
	}
	return b.with(info.Settings)
}

func (b build) with(settings []debug.BuildSetting) build {
	for _, s := range settings {
		switch s.Key {
		case "vcs.revision":
			b.Commit = s.Value
		case "vcs.time":
			b.Date = s.Value
		case "vcs.modified":
			b.Modified = s.Value == "true"
		}
	}
	return b
}

// print writes the version in one line, which programs may read, and then a line for
// whatever else is known.
func (b build) print(out io.Writer) error {
	text := fmt.Sprintf("warren %s %s %s\n", b.Version, b.Go, b.Platform)
	if b.Commit != "" {
		changed := ""
		if b.Modified {
			changed = ", changed since"
		}
		text += fmt.Sprintf("commit %s of %s%s\n", b.Commit, b.Date, changed)
	}
	_, err := io.WriteString(out, text)
	return err
}

func versionCmd() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "version [--json]",
		Short: "print the version, and of which commit and with which Go it was built",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !asJSON {
				return thisBuild().print(cmd.OutOrStdout())
			}
			enc := json.NewEncoder(cmd.OutOrStdout())
			enc.SetIndent("", "  ")
			return enc.Encode(thisBuild())
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}
