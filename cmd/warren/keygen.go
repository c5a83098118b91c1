package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"warren/internal/keys"
)

func keygenCmd() *cobra.Command {
	var dir, secret, endpoint string
	var wgConfig bool
	cmd := &cobra.Command{
		Use:   "keygen [-d DIR] [--wg-config [--endpoint HOST:PORT]] | --secret FILE",
		Short: "make the router's keys, or a secret shared with one peer; never overwrites",
		Long: "Two routers with Warren need no more than a secret that both have: --secret makes it.\n\n" +
			"Without --secret keygen makes tls.crt, tls.key and wireguard.key and prints what a peer needs to\n" +
			"know of them. Files that exist are kept. With --secret it makes instead one shared\n" +
			"secret, to be copied to the peer over a safe channel and named by secret_file at both\n" +
			"ends. With --wg-config it prints a configuration for wg-quick instead, with a new key\n" +
			"in it, for a far end that runs WireGuard and not Warren:\n\n" +
			"  (umask 077; warren keygen --wg-config --endpoint a.example.net:51820 > site-a.conf)",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			out := cmd.OutOrStdout()
			if secret != "" {
				if err := keys.Secret(secret); err != nil {
					return err
				}
				fmt.Fprintf(out, "made %s\nCopy it to the peer over a safe channel (scp keeps it private) and name it in the\npeer's file at both ends:\n\n  [tunnel]\n  secret_file = %q\n", secret, filepath.Base(secret))
				return nil
			}
			if err := checkEndpoint(endpoint, wgConfig); err != nil {
				return err
			}
			made, err := keys.Router(dir)
			if err != nil {
				return err
			}
			if !wgConfig {
				printMade(out, made)
				printForPeer(out, made)
				return nil
			}
			printMade(cmd.ErrOrStderr(), made)
			name, err := os.Hostname()
			if err != nil {
				return fmt.Errorf("host name for the configuration: %w", err)
			}
			text, err := keys.FarEnd(made, name, endpoint)
			if err != nil {
				return err
			}
			if _, err := fmt.Fprint(out, text); err != nil {
				return fmt.Errorf("the configuration could not be written, and its key is lost; have another one made: %w", err)
			}
			return nil
		},
	}
	cmd.Flags().StringVarP(&dir, "dir", "d", filepath.Dir(defaultConfig), "the `directory` for the keys")
	cmd.Flags().StringVar(&secret, "secret", "", "make a shared secret in this `file` instead")
	cmd.Flags().BoolVar(&wgConfig, "wg-config", false, "print a wg-quick configuration for the far end of a tunnel")
	cmd.Flags().StringVar(&endpoint, "endpoint", "", "`host:port` where that far end finds this router; without it this router begins")
	complete(cmd, "dir", cobra.FixedCompletions(nil, cobra.ShellCompDirectiveFilterDirs))
	completeFiles(cmd, "secret")
	cmd.MarkFlagsMutuallyExclusive("dir", "secret")
	cmd.MarkFlagsMutuallyExclusive("wg-config", "secret")
	return cmd
}

// checkEndpoint refuses what wg-quick would not take.
func checkEndpoint(endpoint string, wgConfig bool) error {
	if endpoint == "" {
		return nil
	}
	if !wgConfig {
		return usageError{errors.New("--endpoint goes with --wg-config only")}
	}
	host, port, err := net.SplitHostPort(endpoint)
	if n, perr := strconv.ParseUint(port, 10, 16); err != nil || perr != nil || n == 0 || host == "" || strings.ContainsAny(host, " \t\r\n#") {
		return usageError{fmt.Errorf("--endpoint %q is not host:port, such as a.example.net:51820 or [2001:db8::1]:51820", endpoint)}
	}
	return nil
}

func printMade(out io.Writer, made keys.Made) {
	if len(made.Created) > 0 {
		fmt.Fprintln(out, "made", strings.Join(made.Created, " "))
	}
	if len(made.Kept) > 0 {
		fmt.Fprintln(out, "kept", strings.Join(made.Kept, " "))
	}
}

func printForPeer(out io.Writer, made keys.Made) {
	fmt.Fprintf(out, "\nFor the peer's config, in the [tunnel] table of its file for this router, over TLS:\n\n  fingerprint = %q\n\nand over WireGuard:\n\n  transport  = \"wireguard\"\n  public_key = %q\n",
		made.Fingerprint, made.WireGuardPublic)
}
