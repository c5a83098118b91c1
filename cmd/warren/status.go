package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"warren/internal/history"
	"warren/internal/status"
)

func statusCmd() *cobra.Command {
	var file string
	var asJSON, routes, check, watch bool
	var plugin pluginFlags
	cmd := &cobra.Command{
		Use:   "status [PEER] [--json] [--watch] [--check] [--plugin [--warning LIST] [--critical LIST]] [--routes [PREFIX|ADDRESS]] [-c FILE]",
		Short: "show the peers: tunnels, BGP sessions, routes",
		Long: "Show the peers, a line for each tunnel and the BGP session over it, how many prefixes there are, and what does not\n" +
			"succeed. On a terminal what does not fit is left out or shortened, and there are colours, unless NO_COLOR is set\n" +
			"or TERM is dumb.\n\n" +
			"With PEER show all about one peer, and the last events of its history. With --routes show the ways of a prefix, of\n" +
			"the longest prefix that an address is in, or of all: which are used, which are in reserve, and whose tunnel is down.\n" +
			"With --watch show it again each second until ctrl-C; where the output is no terminal, each time when\n" +
			"something but times and counters has changed.\n\n" +
			"With --check end with 0 if all is well, with 1 if something is down, which is said in a line for each, with 2 if\n" +
			"no daemon answers. What an operator has drained or taken down is not counted as down.\n\n" + pluginHelp,
		Example: "  warren status\n  warren status site-b\n  warren status --routes 10.2.0.7\n  warren status --check || echo look\n" +
			"  warren status --plugin --warning rtt=100,loss=1 --critical rtt=500,prefixes=10:",
		Args: func(cmd *cobra.Command, args []string) error {
			if !routes {
				return cobra.MaximumNArgs(1)(cmd, args)
			}
			if err := cobra.MaximumNArgs(1)(cmd, args); err != nil || len(args) == 0 {
				return err
			}
			_, err := status.ParseRoutesOf(args[0])
			return err
		},
		ValidArgsFunction: func(cmd *cobra.Command, args []string, begun string) ([]string, cobra.ShellCompDirective) {
			if routes {
				return nil, cobra.ShellCompDirectiveNoFileComp // a prefix
			}
			return completePeers(&file)(cmd, args, begun)
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if plugin.on {
				return plugin.run(cmd, file, append(args, "")[0])
			}
			socket, err := socketOf(cmd.Context(), cmd.ErrOrStderr(), file)
			if err != nil {
				return err
			}
			if routes {
				r, err := status.GetRoutes(cmd.Context(), socket, append(args, "")[0])
				return show(cmd.OutOrStdout(), r, err, asJSON, status.RoutesTable)
			}
			peer := append(args, "")[0]
			if check {
				return checkStatus(cmd, socket, peer)
			}
			if watch {
				return watchStatus(cmd, socket, peer)
			}
			view := viewOf(cmd.OutOrStdout())
			if peer != "" {
				s, err := peerStatus(cmd.Context(), socket, peer)
				return show(cmd.OutOrStdout(), s, err, asJSON, view.PeerText)
			}
			s, err := status.Get(cmd.Context(), socket)
			return show(cmd.OutOrStdout(), s, err, asJSON, view.Table)
		},
	}
	configFlag(cmd, &file)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	cmd.Flags().BoolVar(&routes, "routes", false, "show the ways of a prefix, or of all: used, in reserve, or down")
	cmd.Flags().BoolVar(&watch, "watch", false, "show it again each second, until ctrl-C")
	cmd.Flags().BoolVar(&check, "check", false, "say what is down, and end with 1 if something is, for scripts")
	plugin.add(cmd)
	cmd.MarkFlagsMutuallyExclusive("check", "routes")
	cmd.MarkFlagsMutuallyExclusive("check", "json")
	for _, other := range []string{"check", "json", "routes"} {
		cmd.MarkFlagsMutuallyExclusive("watch", other)
	}
	return cmd
}

// peerStatus is the status of one peer, with the last events of its history.
func peerStatus(ctx context.Context, socket, name string) (status.Status, error) {
	s, err := status.Get(ctx, socket)
	if err != nil {
		return s, err
	}
	p, ok := s.Peer(name)
	if !ok {
		return s, noPeer(s, name)
	}
	err = status.GetHistory(ctx, socket, status.HistoryQuery{Peer: name, Last: lastFollowed}, func(e history.Event) error {
		p.History = append(p.History, e)
		return nil
	})
	return s.Of(p), err
}

// checkStatus says what is down, and ends with a status for scripts.
func checkStatus(cmd *cobra.Command, socket, peer string) error {
	ctx, cancel := context.WithTimeout(cmd.Context(), pluginTimeout)
	defer cancel()
	s, err := status.Get(ctx, socket)
	if err != nil {
		return exitError{err, exitNobody}
	}
	if _, ok := s.Peer(peer); peer != "" && !ok {
		return noPeer(s, peer)
	}
	down := status.Down(s, peer)
	for _, line := range down {
		fmt.Fprintln(cmd.OutOrStdout(), line)
	}
	if len(down) > 0 {
		return reported{exitError{fmt.Errorf("%d things are down", len(down)), exitFailed}}
	}
	fmt.Fprintln(cmd.OutOrStdout(), "all is well")
	return nil
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
