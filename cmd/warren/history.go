package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"warren/internal/history"
	"warren/internal/status"
)

// lastFollowed is how many events that were there before history --follow begins with.
const lastFollowed = 10

func historyCmd() *cobra.Command {
	var file string
	var since sinceFlag
	var q status.HistoryQuery
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "history [PEER] [--since 8h] [--follow] [--json] [-c FILE]",
		Short: "show what has happened: tunnels and sessions up and down, reloads, trouble",
		Long: "Show what has happened, the oldest first: tunnels and sessions that came up and went down, and why; reloads,\n" +
			"and by whom; what was refused, and what did not succeed. The daemon keeps the last events in memory, and in\n" +
			"a file where [history] file names one; `warren restart` forgets none. With --follow show the last ones\n" +
			"and then each when it happens.",
		Example:           "  warren history --since 8h\n  warren history site-b\n  warren history --follow --json",
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: completePeers(&file),
		RunE: func(cmd *cobra.Command, args []string) error {
			socket, err := socketOf(cmd.Context(), cmd.ErrOrStderr(), file)
			if err != nil {
				return err
			}
			if len(args) == 1 {
				q.Peer = args[0]
			}
			if since > 0 {
				q.Since = time.Now().Add(-time.Duration(since))
			} else if q.Follow {
				q.Last = lastFollowed
			}
			return showHistory(cmd, socket, q, asJSON)
		},
	}
	configFlag(cmd, &file)
	cmd.Flags().Var(&since, "since", "only what is not longer ago: a `duration` such as 8h, 90m or 2d")
	cmd.Flags().BoolVarP(&q.Follow, "follow", "f", false, "go on with what happens from now on")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print a line of JSON for each event")
	return cmd
}

func showHistory(cmd *cobra.Command, socket string, q status.HistoryQuery, asJSON bool) error {
	if q.Peer != "" {
		if err := isPeer(cmd.Context(), socket, q.Peer); err != nil {
			return err
		}
	}
	out := cmd.OutOrStdout()
	err := status.GetHistory(cmd.Context(), socket, q, func(e history.Event) error {
		if !asJSON {
			_, err := fmt.Fprintln(out, status.EventLine(e))
			return err
		}
		line, err := history.Line(e)
		if err == nil {
			_, err = out.Write(line)
		}
		return err
	})
	if q.Follow && errors.Is(err, context.Canceled) {
		return nil // that is how following ends
	}
	return err
}

// isPeer refuses a name that is no peer's, and was none's of which there is an event.
func isPeer(ctx context.Context, socket, name string) error {
	s, err := status.Get(ctx, socket)
	if err != nil {
		return err
	}
	if _, ok := s.Peer(name); ok {
		return nil
	}
	known := false
	err = status.GetHistory(ctx, socket, status.HistoryQuery{Peer: name, Last: 1}, func(history.Event) error {
		known = true
		return nil
	})
	if err == nil && !known {
		err = noPeer(s, name)
	}
	return err
}

// noPeer says that there is no peer of that name, and which there are, with those first whose names are close to it.
func noPeer(s status.Status, name string) error {
	names := make([]string, len(s.Peers))
	for i, p := range s.Peers {
		names[i] = p.Name
	}
	return unknownPeer(names, name)
}

// unknownPeer is the same of any names.
func unknownPeer(names []string, name string) error {
	const most = 10
	slices.SortStableFunc(names, func(a, b string) int { return cmp.Compare(distance(a, name), distance(b, name)) })
	switch n := len(names); {
	case n == 0:
		return usageError{fmt.Errorf("there is no peer %q, and no other", name)}
	case n > most:
		names = append(names[:most:most], fmt.Sprintf("and %d more", n-most))
	}
	return usageError{fmt.Errorf("there is no peer %q; there are: %s", name, strings.Join(names, ", "))}
}

// distance is how many letters are to be put in, left out or changed to make b of a (Levenshtein).
func distance(a, b string) int {
	const most = 100 // bytes of each that count
	a, b = a[:min(len(a), most)], b[:min(len(b), most)]
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal, row[j+1] = row[j+1], min(change, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}

// sinceFlag is how long ago; 0: it is not given.
type sinceFlag time.Duration

func (f *sinceFlag) Type() string { return "duration" }

func (f *sinceFlag) String() string {
	if *f == 0 {
		return ""
	}
	return time.Duration(*f).String()
}

func (f *sinceFlag) Set(text string) error {
	d, err := history.ParseAgo(text)
	if err != nil {
		return err
	}
	*f = sinceFlag(d)
	return nil
}
