package main

import (
	"encoding/json"
	"fmt"
	"io"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

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

// thisBuild takes commit and date from what the linker has set. A plain `go build` in a
// repository sets others, which are taken else. The time of the build itself is nowhere, so that
// it can be repeated.
func thisBuild() build {
	b := build{Version: version, Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	if info, ok := debug.ReadBuildInfo(); ok {
		b = b.with(info.Settings)
	}
	return b.withLinked(commit, commitTime)
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

// withLinked takes what the Makefile knows; its version says whether the source was changed.
func (b build) withLinked(commit, seconds string) build {
	n, err := strconv.ParseInt(seconds, 10, 64)
	if commit == "" || err != nil {
		return b
	}
	b.Commit, b.Date = commit, time.Unix(n, 0).UTC().Format(time.RFC3339)
	b.Modified = strings.HasSuffix(b.Version, "-dirty")
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
		Long:  "version prints the version of this program, not of the daemon that runs: that is in `warren status --json`.",
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
