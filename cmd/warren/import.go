package main

import (
	"fmt"
	"path/filepath"

	"github.com/spf13/cobra"

	"warren/internal/conversion"
)

func importCmd() *cobra.Command {
	var file, dir string
	var dryRun bool
	cmd := &cobra.Command{
		Use:   "import [-c FILE] [-o DIR] [-n] FILE...",
		Short: "make peers' files of configurations of wg-quick, BIRD and OpenVPN",
		Long: "import reads files of wg-quick(8), of BIRD 2 (protocol bgp) and of OpenVPN, and writes\n" +
			"a file for each peer into peers.d, and key files beside warren.toml. Give the files\n" +
			"that belong together at once: a BGP session of BIRD's is joined to the tunnel that it\n" +
			"goes through. The clients of an OpenVPN server are found in its client-config-dir.\n\n" +
			"Each file says which lines have no counterpart, and why. Nothing is overwritten, and\n" +
			"what the far end may announce is left empty where a filter is not understood. What\n" +
			"belongs into warren.toml is printed.",
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			files, err := await(cmd.Context(), func() ([]conversion.File, error) { return conversion.Open(args) })
			if err != nil {
				return err
			}
			r, err := conversion.Read(files)
			if err != nil {
				return err
			}
			if dir == "" {
				dir = filepath.Dir(file)
			}
			out := cmd.OutOrStdout()
			if dryRun {
				for _, p := range r.Peers {
					fmt.Fprintf(out, "==> %s <==\n%s\n", filepath.Join(dir, "peers.d", p.Name+".toml"), p.Text())
				}
			} else if err := interrupted(cmd.Context()); err != nil {
				return err
			} else {
				written, err := r.Write(dir)
				if err != nil {
					return err
				}
				for _, path := range written {
					fmt.Fprintln(out, "made", path)
				}
			}
			for _, n := range r.Notes {
				fmt.Fprintln(out, n)
			}
			if text := r.RouterText(); text != "" {
				fmt.Fprintf(out, "\nFor %s, where it is not there yet:\n\n%s", filepath.Join(dir, "warren.toml"), text)
			}
			fmt.Fprintf(out, "\nRead the files through, fill in what is missing, then run `warren check`.\n")
			return nil
		},
	}
	configFlag(cmd, &file)
	cmd.Flags().StringVarP(&dir, "output", "o", "", "write below this `directory` instead of that of warren.toml")
	cmd.Flags().BoolVarP(&dryRun, "dry-run", "n", false, "print the peers' files, and write nothing")
	return cmd
}
