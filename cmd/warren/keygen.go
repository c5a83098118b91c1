package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"warren/internal/keys"
)

func keygenCmd() *cobra.Command {
	var dir, secret string
	cmd := &cobra.Command{
		Use:   "keygen [-d DIR | --secret FILE]",
		Short: "make the router's keys, or a secret shared with one peer; never overwrites",
		Long: "keygen makes tls.crt, tls.key and wireguard.key and prints what a peer needs to\n" +
			"know of them. Files that exist are kept. With --secret it makes instead one shared\n" +
			"secret, to be copied to the peer over a safe channel and named by secret_file at both ends.",
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
			name, err := os.Hostname()
			if err != nil {
				return fmt.Errorf("host name for the certificate: %w", err)
			}
			made, err := keys.Router(dir, name)
			if err != nil {
				return err
			}
			printMade(out, made)
			return nil
		},
	}
	cmd.Flags().StringVarP(&dir, "dir", "d", filepath.Dir(defaultConfig), "the `directory` for the keys")
	cmd.Flags().StringVar(&secret, "secret", "", "make a shared secret in this `file` instead")
	cmd.MarkFlagsMutuallyExclusive("dir", "secret")
	return cmd
}

func printMade(out io.Writer, made keys.Made) {
	if len(made.Created) > 0 {
		fmt.Fprintln(out, "made", strings.Join(made.Created, " "))
	}
	if len(made.Kept) > 0 {
		fmt.Fprintln(out, "kept", strings.Join(made.Kept, " "))
	}
	fmt.Fprintf(out, "\nFor the peer's config, in the [tunnel] table of its file for this router:\n\n  fingerprint = %q\n\nWireGuard public key:\n\n  %s\n",
		made.Fingerprint, made.WireGuardPublic)
}
