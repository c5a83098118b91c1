package main

import (
	"fmt"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"warren/bgp"
	"warren/internal/status"
)

func downCmd() *cobra.Command {
	return orderCmd("down", true, "take a peer's tunnels and sessions down, until it is taken up",
		"down ends the peer's BGP sessions (Cease, Administrative Shutdown, with the message: RFC 9003), then closes its\n"+
			"tunnels. It stays down over a reload and `warren restart`, but not over a stop; `warren up` takes it up.\n"+
			"What had no other way than this peer is lost meanwhile. `warren drain` before takes traffic away without loss.")
}

func upCmd() *cobra.Command {
	return orderCmd("up", false, "take a peer up again that was taken down",
		"up opens the tunnels of a peer again that `warren down` has closed. A drain of the peer stays.")
}

func resetCmd() *cobra.Command {
	return orderCmd("reset", true, "have a peer's tunnels and sessions end and begin again",
		"reset ends the peer's BGP sessions (Cease, Administrative Reset), closes its tunnels, and opens them again at\n"+
			"once. Where there is no tunnel, or the interface is another program's, only the session begins again. It\n"+
			"counts among the times that they went down, and `warren status PEER` says who asked for it.")
}

// orderCmd is a command that has the daemon do something with one peer.
func orderCmd(do string, says bool, short, long string) *cobra.Command {
	var file, message string
	use := do + " PEER [-c FILE]"
	if says {
		use = do + " PEER [--message TEXT] [-c FILE]"
	}
	cmd := &cobra.Command{
		Use: use, Short: short, Long: long,
		ValidArgsFunction: completePeers(&file),
		Args: func(cmd *cobra.Command, args []string) error {
			if err := cobra.ExactArgs(1)(cmd, args); err != nil {
				return err
			}
			return checkMessage(message)
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			_, err := operate(cmd, file, status.Order{Do: do, Peer: args[0], Message: message})
			return err
		},
	}
	configFlag(cmd, &file)
	if says {
		cmd.Flags().StringVar(&message, "message", "", "a `text` that the peer's operator is told, up to 128 bytes")
	}
	return cmd
}

func checkMessage(text string) error {
	switch {
	case len(text) > bgp.MaxFarewell:
		return fmt.Errorf("the message has %d bytes, and a session ends with %d at most", len(text), bgp.MaxFarewell)
	case !utf8.ValidString(text):
		return fmt.Errorf("the message is not in UTF-8")
	}
	return nil
}
