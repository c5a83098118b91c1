package main

import (
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"warren/internal/agent"
	"warren/internal/config"
	"warren/internal/invitation"
)

func inviteCmd() *cobra.Command {
	var file string
	var wish invitation.Wish
	valid := term(24 * time.Hour)
	cmd := &cobra.Command{
		Use:   "invite NAME --import PREFIX... [--export PREFIX...] [--remote HOST:PORT...] [--transport tls|wireguard] [--asn N] [--valid 24h]",
		Short: "add a peer, and print the line of text with which it joins",
		Long: "invite writes a file for the new peer NAME, has a running daemon read it, and prints one\n" +
			"line of text. At the peer `warren join LINE` does the rest. The line holds a secret, and is\n" +
			"good for one router and for the time that --valid says: when the two routers have met they\n" +
			"replace the secret by another, and if nobody comes the peer is removed again.\n\n" +
			"  warren invite site-b --import 10.2.0.0/16 --import 2001:db8:2::/48\n\n" +
			"What is not given is chosen: the AS number from those for private use; the transport, TLS where\n" +
			"this router listens for it (listen in [tls]), else WireGuard (listen_port in [wireguard]); and\n" +
			"for the address the one that this router listens at, or where that is 0.0.0.0 or [::], and\n" +
			"over WireGuard, the host's own.",
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			wish.Name, wish.Valid = args[0], time.Duration(valid)
			if err := checkWish(&wish, args[1:], cmd.Flags().Changed("asn")); err != nil {
				return usageError{err}
			}
			return invite(cmd, file, wish)
		},
	}
	configFlag(cmd, &file)
	cmd.Flags().StringArrayVar(&wish.Import, "import", nil, "a `prefix` that is learned from the peer, as in import of its file; several: once for each, or with commas between")
	cmd.Flags().StringArrayVar(&wish.Export, "export", nil, "a `prefix`, own, any or default: what the peer is told, as in export of its file")
	cmd.Flags().StringArrayVar(&wish.Remotes, "remote", nil, "`host:port` where the peer reaches this router; several: once for each")
	cmd.Flags().StringVar(&wish.Transport, "transport", "", "over what the two meet, `tls or wireguard`; without it tls where this router listens for it, else wireguard")
	cmd.Flags().Uint32Var(&wish.ASN, "asn", 0, "the peer's AS `number`")
	cmd.Flags().Var(&valid, "valid", "for what `duration` the line is good, such as 30m, 24h or 7d")
	cmd.Flags().BoolVar(&wish.Shared, "shared", false, "take --import although another peer may announce the same")
	return cmd
}

// checkWish finds wrong use. more are prefixes behind those of --import.
func checkWish(w *invitation.Wish, more []string, asn bool) error {
	if err := config.ParseName(w.Name); err != nil {
		return fmt.Errorf("%q %w", w.Name, err)
	}
	if len(more) > 0 && (len(w.Import) == 0 || len(w.Export) > 0) {
		return fmt.Errorf("%q belongs to nothing; write --import or --export before each prefix", more[0])
	}
	w.Import, w.Export, w.Remotes = split(append(w.Import, more...)), split(w.Export), split(w.Remotes)
	if len(w.Import) == 0 {
		return errors.New("--import is missing: say which prefixes are to be learned from the peer, such as --import 10.2.0.0/16")
	}
	for i, text := range w.Import {
		f, err := config.ParseFilter(text)
		if err == nil && f.Prefix.Bits() == 0 {
			err = errors.New("is no network of the peer's; write it into import of the peer's file afterwards")
		}
		if err != nil {
			return fmt.Errorf("--import %q %w", text, err)
		}
		w.Import[i] = f.String()
	}
	for i, text := range w.Export {
		if text == "own" || text == "any" || text == "default" {
			continue
		}
		f, err := config.ParseFilter(text)
		if err != nil {
			return fmt.Errorf("--export %q %w", text, err)
		}
		w.Export[i] = f.String()
	}
	for _, r := range w.Remotes {
		if err := config.ParseRemote(r); err != nil {
			return fmt.Errorf("--remote %q %w", r, err)
		}
	}
	if err := invitation.ParseTransport(w.Transport); w.Transport != "" && err != nil {
		return fmt.Errorf("--transport %q %w", w.Transport, err)
	}
	if err := config.ParseASN(int64(w.ASN)); asn && err != nil {
		return fmt.Errorf("--asn %d %w", w.ASN, err)
	}
	return nil
}

// split takes lists with commas apart.
func split(all []string) (out []string) {
	for _, text := range all {
		for _, one := range strings.Split(text, ",") {
			out = append(out, strings.TrimSpace(one))
		}
	}
	return out
}

func invite(cmd *cobra.Command, file string, wish invitation.Wish) error {
	path, err := filepath.Abs(file)
	if err != nil {
		return err
	}
	c, err := agent.Load(path)
	if err != nil {
		return err
	}
	host, err := agent.Host()
	if err != nil {
		return err
	}
	line, plan, err := invitation.Make(c, host, wish, time.Now())
	if err != nil {
		return err
	}
	next, err := plan.Check()
	if err != nil {
		return err
	}
	if err := carryOut(cmd.Context(), plan); err != nil {
		return err
	}
	words := cmd.ErrOrStderr()
	for _, f := range plan.Create {
		fmt.Fprintln(words, "made", f.Path)
	}
	warnAbout(words, next, plan)
	reloaded := reloadAfter(cmd, file, plan)
	if reloaded != nil && !errors.As(reloaded, new(notKnown)) {
		return reloaded
	}
	tellInvited(words, line)
	if _, err := fmt.Fprintln(cmd.OutOrStdout(), line); err != nil {
		err = fmt.Errorf("the line could not be written and is lost: `warren remove %s`, and invite again: %w", wish.Name, err)
		return errors.Join(err, reloaded)
	}
	return reloaded
}

func tellInvited(words io.Writer, l *invitation.Line) {
	if len(l.Announced) == 0 {
		fmt.Fprintf(words, "This router announces nothing yet, so that %s learns nothing from it: write what it does into import there.\n", l.Invited.Name)
	}
	fmt.Fprintf(words, "%s has AS number %d and dials %s: firewalls have to let %s in.\n"+
		"The line holds a secret: whoever uses it first is %s. Send it over a channel that you trust. It is good for one\n"+
		"router, until %s. There, as root:  warren join LINE\n\n",
		l.Invited.Name, l.Invited.ASN, strings.Join(l.Remotes, " or "), l.Ports(), l.Invited.Name, l.Until.Format("2006-01-02 15:04 MST"))
}

// term is a duration that may have days.
type term time.Duration

func (*term) Type() string { return "duration" }

func (t *term) String() string { return time.Duration(*t).String() }

// The bounds of --valid.
const (
	shortestTerm = time.Second
	longestTerm  = 365 * 24 * time.Hour
)

func (t *term) Set(text string) error {
	d, err := time.ParseDuration(text)
	if days, found := strings.CutSuffix(text, "d"); found {
		d, err = time.ParseDuration(days + "h")
		d *= 24
	}
	if err != nil || d < shortestTerm || d > longestTerm {
		return errors.New("it must be a time such as 30m, 24h or 7d, from 1s to 365d")
	}
	*t = term(d)
	return nil
}
