package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"warren/internal/agent"
	"warren/internal/config"
	"warren/internal/invitation"
	"warren/internal/peerfile"
	"warren/internal/status"
)

func joinCmd() *cobra.Command {
	var o joinOptions
	cmd := &cobra.Command{
		Use:   "join LINE [--yes]",
		Short: "become the peer of the router whose `warren invite` has printed LINE",
		Long: "join writes a file for the router that invites this one, and warren.toml where there is none,\n" +
			"shows them before it does, and has a running daemon read them. It connects to nothing itself.\n" +
			"LINE holds a secret; with - in its place it is read from standard input, so that no list of\n" +
			"processes and no shell keeps it.",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return o.join(cmd, args[0]) },
	}
	configFlag(cmd, &o.file)
	cmd.Flags().BoolVarP(&o.yes, "yes", "y", false, "do not ask")
	cmd.Flags().StringVar(&o.answer.Peer, "peer", "", "the `name` that the inviting router has here; without it the one that it has itself")
	cmd.Flags().StringVar(&o.answer.Name, "name", "", "this router's `name`, for a new warren.toml")
	cmd.Flags().StringVar(&o.routerID, "router-id", "", "this router's `ID`, for a new warren.toml")
	cmd.Flags().BoolVar(&o.answer.Shared, "shared", false, "take the peer's prefixes although another peer may announce the same")
	return cmd
}

type joinOptions struct {
	file, routerID string
	yes            bool
	answer         invitation.Answer
}

func (o *joinOptions) join(cmd *cobra.Command, text string) error {
	if err := o.check(); err != nil {
		return usageError{err}
	}
	in := bufio.NewReader(cmd.InOrStdin())
	if text == "-" {
		var err error
		text, err = await(cmd.Context(), func() (string, error) { return in.ReadString('\n') })
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
	}
	line, err := invitation.Parse(text)
	if err != nil {
		return err
	}
	path, err := filepath.Abs(o.file)
	if err != nil {
		return err
	}
	c, err := agent.Load(path)
	if _, absent := os.Lstat(path); err != nil && errors.Is(absent, fs.ErrNotExist) {
		c, err = nil, nil
	}
	if err != nil {
		return err
	}
	host, err := agent.Host()
	if err != nil {
		return err
	}
	plan, err := invitation.Join(path, c, host, line, o.answer, time.Now())
	if err != nil {
		return err
	}
	next, err := plan.Check()
	if err != nil {
		return err
	}
	words := cmd.ErrOrStderr()
	showJoin(words, line, plan)
	warnAbout(words, next, plan)
	for _, n := range invitation.Unannounced(next, line) {
		fmt.Fprintf(words, "warning: %s takes %v from this router, which does not announce it: write it into networks in %s\n", line.Inviting.Name, n, path)
	}
	if err := confirm(cmd.Context(), words, in, o.yes, "Write these files?"); err != nil {
		return err
	}
	if err := carryOut(cmd.Context(), plan); err != nil {
		return err
	}
	return reloadAfter(cmd, o.file, plan)
}

func (o *joinOptions) check() error {
	for flag, name := range map[string]string{"--peer": o.answer.Peer, "--name": o.answer.Name} {
		if err := config.ParseName(name); name != "" && err != nil {
			return fmt.Errorf("%s %q %w", flag, name, err)
		}
	}
	if o.routerID == "" {
		return nil
	}
	id, err := netip.ParseAddr(o.routerID)
	if err != nil || !id.Is4() {
		return fmt.Errorf("--router-id %q is not in the form of an IPv4 address, such as 10.0.0.1", o.routerID)
	}
	o.answer.RouterID = id
	return nil
}

// showJoin shows what is going to be written, but for the secret.
func showJoin(w io.Writer, l *invitation.Line, p *peerfile.Plan) {
	fmt.Fprintf(w, "%s (AS %d) invites this router to be %s (AS %d), until %s.\n",
		l.Inviting.Name, l.Inviting.ASN, l.Invited.Name, l.Invited.ASN, l.Until.Format("2006-01-02 15:04 MST"))
	fmt.Fprintf(w, "It is dialed at %s: firewalls have to let %s out.\n", strings.Join(l.Remotes, " or "), l.Ports())
	for _, f := range p.Create {
		if f.Mode&0o077 == 0 {
			fmt.Fprintf(w, "\n%s: the secret of the invitation\n", f.Path)
			continue
		}
		fmt.Fprintf(w, "\n%s:\n", f.Path)
		for text := range strings.Lines(f.Text) {
			fmt.Fprint(w, "    ", text)
		}
	}
	fmt.Fprintln(w)
}

// warnAbout prints what is probably wrong in the files that are made.
func warnAbout(w io.Writer, c *config.Config, p *peerfile.Plan) {
	for _, line := range agent.Warnings(c) {
		if slices.ContainsFunc(p.Create, func(f peerfile.File) bool { return strings.HasPrefix(line, f.Path+":") }) {
			fmt.Fprintln(w, "warning:", line)
		}
	}
}

// reloadAfter has a running daemon take what was written. If it does not, that is undone. The error is a notKnown if it
// may have taken it: then the files stay.
func reloadAfter(cmd *cobra.Command, file string, plan *peerfile.Plan) error {
	lines, running, err := reloadRunning(cmd.Context(), file)
	words := cmd.ErrOrStderr()
	switch {
	case errors.As(err, new(notKnown)):
		return fmt.Errorf("a daemon was asked to take the files, and %w; they stay: `warren reload` has it take them, `warren remove` takes them away", err)
	case err != nil:
		return errors.Join(err, plan.Undo(), errors.New("the files that were made are removed again"))
	case !running:
		fmt.Fprintf(words, "%s: start it, by `systemctl enable --now warren` or `warren run -c %s`.\n", noDaemon(file), file)
	}
	for _, line := range lines {
		fmt.Fprintln(words, line)
	}
	return nil
}

// notKnown is the error of a reload that a daemon was asked for and may have done.
type notKnown struct{ error }

func (e notKnown) Unwrap() error { return e.error }

// reloadRunning has the daemon read its files again, if one is running. The error is a notKnown if it may have done so.
func reloadRunning(ctx context.Context, file string) (lines []string, running bool, err error) {
	socket, err := socketOf(ctx, io.Discard, file) // a daemon elsewhere refuses the reload, and says why
	if err != nil {
		return nil, false, err
	}
	result, err := status.Reload(ctx, socket)
	switch {
	case errors.Is(err, status.ErrNotRunning):
		return nil, false, nil
	case errors.Is(err, status.ErrNotAsked):
		return nil, false, err
	case err != nil:
		return nil, true, notKnown{err}
	case len(result.Errors) > 0:
		return nil, true, fmt.Errorf("the running daemon does not take it: %s", strings.Join(result.Errors, "\n"))
	}
	return result.Changes, true, nil
}
