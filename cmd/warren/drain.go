package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"warren/internal/status"
)

const (
	// drainWithin bounds how long drain waits for traffic to go away.
	drainWithin = 2 * time.Minute
	drainLook   = 500 * time.Millisecond
	drainTell   = 3 * time.Second // between two lines about what still flows
)

func drainCmd() *cobra.Command {
	var file string
	var long sinceFlag
	var noWait bool
	cmd := &cobra.Command{
		Use:   "drain [PEER] [--for 30m] [--no-wait] [-c FILE]",
		Short: "take traffic away from a peer, or from the whole router, before it goes down",
		Long: "drain takes traffic away from a peer without loss, in both directions: routes are sent with\n" +
			"GRACEFUL_SHUTDOWN (RFC 8326), and those from the peer are used only where there is no other way. Tunnels and\n" +
			"sessions stay, and so does the only way to a prefix. Without PEER it is about all peers. It returns when no\n" +
			"traffic is left; with 1 if there is some after two minutes, which the drain outlasts, as it does an\n" +
			"interrupt, a reload and `warren restart`, but not a stop. `warren undrain` ends it, or --for does.",
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: completePeers(&file),
		RunE: func(cmd *cobra.Command, args []string) error {
			peer := append(args, "")[0]
			socket, err := operate(cmd, file, status.Order{Do: "drain", Peer: peer, For: time.Duration(long)})
			if err != nil || noWait {
				return err
			}
			return awaitDrained(cmd.Context(), cmd.OutOrStdout(), cmd.ErrOrStderr(), peer, func(ctx context.Context) (status.Status, error) {
				return status.Get(ctx, socket)
			})
		},
	}
	configFlag(cmd, &file)
	cmd.Flags().Var(&long, "for", "end the drain by itself after a `duration` such as 30m")
	cmd.Flags().BoolVar(&noWait, "no-wait", false, "do not wait until no traffic is left")
	return cmd
}

func undrainCmd() *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use:   "undrain [PEER] [-c FILE]",
		Short: "give traffic back to a peer, or to the whole router",
		Long: "undrain ends what drain has begun. Without PEER it ends the drain of the whole router; peers that\n" +
			"were drained by their names stay drained, and are named.",
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: completePeers(&file),
		RunE: func(cmd *cobra.Command, args []string) error {
			_, err := operate(cmd, file, status.Order{Do: "undrain", Peer: append(args, "")[0]})
			return err
		},
	}
	configFlag(cmd, &file)
	return cmd
}

// operate has the daemon do what is asked for, and prints what it did.
func operate(cmd *cobra.Command, file string, o status.Order) (socket string, err error) {
	if socket, err = socketOf(cmd.Context(), cmd.ErrOrStderr(), file); err != nil {
		return socket, err
	}
	if o.Peer != "" {
		s, err := status.Get(cmd.Context(), socket)
		if err != nil {
			return socket, err
		}
		if _, ok := s.Peer(o.Peer); !ok {
			return socket, noPeer(s, o.Peer)
		}
	}
	r, err := status.Do(cmd.Context(), socket, o)
	if errors.Is(err, status.ErrNoPeer) {
		err = usageError{err}
	}
	for _, line := range r.Lines {
		fmt.Fprintln(cmd.OutOrStdout(), line)
	}
	return socket, err
}

// awaitDrained waits until no traffic is left on what is drained: a peer, or all.
func awaitDrained(ctx context.Context, out, progress io.Writer, peer string, get func(context.Context) (status.Status, error)) error {
	begun, told := time.Now(), time.Now()
	var before status.Status
	for {
		s, err := get(ctx)
		if ctx.Err() != nil {
			fmt.Fprintf(progress, "it stays drained; `%s` ends that\n", undrainText(peer))
			return reported{exitError{ctx.Err(), exitFailed}}
		}
		if err != nil {
			return fmt.Errorf("it stays drained, as far as is known: %w", err)
		}
		busy, unknown, ended := drainLeft(s, peer)
		switch {
		case ended:
			return errors.New("the drain was ended meanwhile")
		case len(busy) == 0:
			for _, name := range unknown {
				fmt.Fprintf(out, "peer %s: on a network with others, where its traffic cannot be told from theirs\n", name)
			}
			fmt.Fprintln(out, "no traffic is left")
			return nil
		case time.Since(begun) >= drainWithin:
			return fmt.Errorf("there is still traffic after %v, and it stays drained: %s; is it the only way to something (`warren status --routes`)? `%s` ends the drain",
				drainWithin, flowText(before, s, busy), undrainText(peer))
		case time.Since(told) >= drainTell:
			fmt.Fprintf(progress, "draining: %s\n", flowText(before, s, busy))
			told, before = time.Now(), s
		case before.Time.IsZero():
			before = s
		}
		select {
		case <-ctx.Done():
		case <-time.After(drainLook):
		}
	}
}

func undrainText(peer string) string { return strings.TrimSpace("warren undrain " + peer) }

// drainLeft says which of the drained peers that are asked about have traffic, and of which that is not known.
// ended is that nothing is drained any more.
func drainLeft(s status.Status, peer string) (busy, unknown []string, ended bool) {
	ended = s.Router.Drained == nil
	for _, p := range s.Peers {
		if peer != "" && p.Name != peer {
			continue
		}
		switch {
		case p.Drained == nil:
			continue
		case p.Tunnel.Transport == "lan":
			unknown = append(unknown, p.Name)
		case p.Drained.QuietSince.IsZero() && p.Down == nil:
			busy = append(busy, p.Name)
		}
		ended = false
	}
	return busy, unknown, ended
}

// flowText is what goes through the tunnels of some peers, of which two statuses are known.
func flowText(before, now status.Status, names []string) string {
	const most = 4
	var parts []string
	long := max(now.Time.Sub(before.Time.Time).Seconds(), 1)
	for _, name := range names[:min(len(names), most)] {
		is, _ := now.Peer(name)
		was, ok := before.Peer(name)
		if !ok {
			was = is
		}
		rxNow, txNow := packetsOf(is)
		rx, tx := packetsOf(was)
		parts = append(parts, fmt.Sprintf("%s receives %.0f and sends %.0f packets a second, BGP's included",
			name, float64(rxNow-min(rx, rxNow))/long, float64(txNow-min(tx, txNow))/long))
	}
	if len(names) > most {
		parts = append(parts, fmt.Sprintf("and %d peers more", len(names)-most))
	}
	return strings.Join(parts, "; ")
}

func packetsOf(p status.Peer) (rx, tx uint64) {
	for _, t := range p.Tunnels {
		rx, tx = rx+t.RxPackets, tx+t.TxPackets
	}
	return rx, tx
}
