package main

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"warren/internal/config"
	"warren/internal/status"
)

func gobgpCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "gobgp [ARGUMENT...] [-c FILE]",
		Short: "run the gobgp command at this router; peers' names stand for their addresses",
		Long: "gobgp runs the stock gobgp command, which came with warren or is in PATH, with the address that\n" +
			"[api] gobgp has. Where that command takes a neighbor's address, it may be a peer's name instead, or, of a peer\n" +
			"with several tunnels, NAME/1 for the second and so on. All else, -h too, is the command's; -c FILE is warren's.\n" +
			"It ends with what the command ends with.",
		Example: "  warren gobgp neighbor\n  warren gobgp neighbor site-b adj-in -a ipv6\n  warren gobgp global rib -a ipv6",
		// What warren does not know the command may.
		DisableFlagParsing: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			argv, err := gobgpArgv(cmd.Context(), args)
			if err != nil {
				return err
			}
			program, err := gobgpProgram()
			if err != nil {
				return err
			}
			return fmt.Errorf("run %s: %w", program, unix.Exec(program, argv, os.Environ()))
		},
		ValidArgsFunction: completeGobgp,
	}
}

// gobgpProgram finds the command: the one that was built with this program comes first, as one of another
// version may not understand this router.
func gobgpProgram() (string, error) {
	if self, err := os.Executable(); err == nil {
		if own := gobgpOf(self); own != "" {
			return own, nil
		}
	}
	path, err := exec.LookPath("gobgp")
	if err != nil {
		return "", fmt.Errorf("there is no gobgp beside warren, and none in PATH: put the one there that was built with warren (bin/gobgp): %w", err)
	}
	return path, nil
}

// gobgpOf returns the command that came with the program at a path: beside it, as the build has it, or in libexec,
// as packages have it, where another package's is not in the way. "": there is none.
func gobgpOf(warren string) string {
	dir := filepath.Dir(warren)
	for _, at := range []string{filepath.Join(dir, "gobgp"), filepath.Join(dir, "..", "libexec", "warren", "gobgp")} {
		if unix.Access(at, unix.X_OK) == nil {
			return at
		}
	}
	return ""
}

// gobgpArgv is what the command is run with.
func gobgpArgv(ctx context.Context, args []string) ([]string, error) {
	file, args, err := takeConfig(args)
	if err != nil {
		return nil, err
	}
	api, err := config.Reach(file)
	if err != nil {
		return nil, err
	}
	argv := []string{"gobgp"}
	if !slices.ContainsFunc(args, namesTarget) {
		at, err := gobgpTarget(api)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		argv = append(argv, at...)
	}
	if i := neighborAt(args); i >= 0 && !isGobgpNeighbor(args[i]) {
		socket, err := socketOf(ctx, os.Stderr, file)
		if err != nil {
			return nil, err
		}
		if args[i], err = neighborAddress(ctx, socket, args[i]); err != nil {
			return nil, err
		}
	}
	return append(argv, args...), nil
}

// takeConfig takes -c FILE out of arguments that are another command's.
func takeConfig(args []string) (file string, rest []string, err error) {
	file = defaultConfig
	defer func() {
		if err == nil && file == "" {
			err = usageError{fmt.Errorf("the value of --config %s", unset)}
		}
	}()
	for i := 0; i < len(args); i++ {
		a := args[i]
		switch {
		case a == "--":
			return file, append(rest, args[i:]...), nil
		case a == "-c" || a == "--config":
			if i++; i == len(args) {
				return "", nil, usageError{fmt.Errorf("flag needs an argument: %s", a)}
			}
			file = args[i]
		case strings.HasPrefix(a, "--config="):
			file = strings.TrimPrefix(a, "--config=")
		case strings.HasPrefix(a, "-c") && !strings.HasPrefix(a, "--"):
			file = strings.TrimPrefix(strings.TrimPrefix(a, "-c"), "=")
		default:
			rest = append(rest, a)
		}
	}
	return file, rest, nil
}

// gobgpTarget names the address in the command's words.
func gobgpTarget(api config.API) ([]string, error) {
	if api.Gobgp == "" {
		return nil, fmt.Errorf(`[api] gobgp is "", so that the gobgp command cannot look at this router: set an address there and restart warren`)
	}
	if path, isUnix := api.GobgpSocket(); isUnix {
		return []string{"--target", "unix://" + path}, nil
	}
	host, port, err := net.SplitHostPort(api.Gobgp)
	if err != nil {
		return nil, err
	}
	return []string{"--host", host, "--port", port}, nil
}

// namesTarget reports whether an argument says itself which router is meant.
func namesTarget(arg string) bool {
	for _, long := range []string{"--host", "--port", "--target"} {
		if arg == long || strings.HasPrefix(arg, long+"=") {
			return true
		}
	}
	return !strings.HasPrefix(arg, "--") && (strings.HasPrefix(arg, "-u") || strings.HasPrefix(arg, "-p"))
}

// valued are the command's flags whose value is the next argument.
var valued = []string{
	"-u", "--host", "-p", "--port", "--target", "-r", "--pprof-port", "--bash-cmpl-file", "--tls-client-cert-file", "--tls-client-key-file",
	"--tls-ca-file", "-a", "--address-family", "--reason", "-t", "--transport", "-b", "--batch-size",
}

// neighborAt returns the place of the argument that is a neighbor's address; less than 0: there is none. The
// command takes the beginnings of its own words, too.
func neighborAt(args []string) int {
	var words []int // the places of those that are no flags
	for i := 0; i < len(args); i++ {
		switch {
		case slices.Contains(valued, args[i]):
			i++
		case !strings.HasPrefix(args[i], "-"):
			words = append(words, i)
		}
	}
	is := func(n int, word string) bool {
		return n < len(words) && args[words[n]] != "" && strings.HasPrefix(word, args[words[n]])
	}
	switch {
	case len(words) > 1 && is(0, "neighbor"):
		return words[1]
	case len(words) > 2 && is(0, "monitor") && !is(0, "mrt") && (is(1, "neighbor") || is(1, "adj-in")):
		return words[2]
	}
	return -1
}

// isGobgpNeighbor reports whether the command itself understands what stands where a neighbor's address may.
func isGobgpNeighbor(word string) bool {
	_, err := netip.ParseAddr(word)
	return err == nil || slices.Contains([]string{"add", "del", "update", "help"}, word)
}

// neighborAddress is the address of the neighbor that a peer is, or of the one over a further tunnel of it.
func neighborAddress(ctx context.Context, socket, name string) (string, error) {
	s, err := status.Get(ctx, socket)
	if err != nil {
		return "", fmt.Errorf("the address of peer %q is not known: %w", name, err)
	}
	for _, n := range s.Neighbors() {
		switch {
		case n.Name != name:
		case n.BGP.Address == "":
			return "", fmt.Errorf("%s has no address now: its tunnel is %s", name, n.State)
		default:
			return n.BGP.Address, nil
		}
	}
	return "", noPeer(s, name)
}

// completeGobgp asks the command what may come next, and adds peers' names where it takes an address.
func completeGobgp(cmd *cobra.Command, args []string, begun string) ([]string, cobra.ShellCompDirective) {
	ctx, cancel := context.WithTimeout(cmd.Context(), time.Second)
	defer cancel()
	file, args, err := takeConfig(args)
	if err != nil { // a file is to be named
		return nil, cobra.ShellCompDirectiveDefault
	}
	var all []string
	if neighborAt(append(slices.Clone(args), begun+"x")) == len(args) {
		if socket, err := config.Socket(file); err == nil {
			s, _ := status.Get(ctx, socket) // without a daemon there are none
			for _, n := range s.Neighbors() {
				all = append(all, n.Name)
			}
		}
	}
	program, err := gobgpProgram()
	if err != nil {
		return all, cobra.ShellCompDirectiveNoFileComp
	}
	out, _ := exec.CommandContext(ctx, program, slices.Concat([]string{cobra.ShellCompRequestCmd}, args, []string{begun})...).Output()
	for l := range strings.Lines(string(out)) {
		if l = strings.TrimSuffix(l, "\n"); l != "" && !strings.HasPrefix(l, ":") {
			all = append(all, l)
		}
	}
	return slices.DeleteFunc(all, func(c string) bool { return !strings.HasPrefix(c, begun) }), cobra.ShellCompDirectiveNoFileComp
}
