package manual

import (
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/spf13/cobra"
)

var day = time.Date(2026, 11, 27, 3, 0, 0, 0, time.UTC)

func tree(change func(*cobra.Command)) *cobra.Command {
	run := func(*cobra.Command, []string) error { return nil }
	root := &cobra.Command{Use: "warren", Short: "a router", Long: "Routes."}
	cmd := &cobra.Command{
		Use: "look [PEER] [-c FILE]", Short: "look at a_b *c*", RunE: run,
		Example: "  warren look site-b",
		Long:    "Look at <it>, and at `ip route`.\n.dot begins this line.\n\n  an example # \"as is\" \\n\n",
	}
	cmd.Flags().StringP("config", "c", "/etc/x", "the `file` with [all]")
	cmd.Flags().Bool("check", false, "say --more")
	cmd.Flags().Int("internal", 0, "")
	_ = cmd.Flags().MarkHidden("internal")
	change(cmd)
	root.AddCommand(cmd, &cobra.Command{Use: "secret", Hidden: true, RunE: run})
	return root
}

func TestCommands(t *testing.T) {
	pages, err := Commands(tree(func(*cobra.Command) {}))
	if err != nil || len(pages) != 2 || pages[0].File() != "warren.1" || pages[1].File() != "warren-look.1" {
		t.Fatalf("%v, %v", pages, err)
	}
	roff := string(pages[1].Roff("1.2", day))
	for _, want := range []string{
		".TH WARREN-LOOK 1 2026-11-27 \"Warren 1.2\" \"Warren\"\n",
		"\nwarren-look \\- look at a_b *c*\n",
		"\n\\fBwarren look\\fP [PEER] [-c FILE]\n",
		"Look at <it>, and at \\fBip route\\fR\\&.\n",
		"\n\\&.dot begins this line.\n",
		".EX\n  an example # \"as is\" \\\\n\n.EE\n",
		"\\fB-c\\fP, \\fB--config\\fP \\fIFILE\\fP\nthe file with [all]; without it /etc/x\n",
		".SH EXAMPLES\n.EX\n  warren look site-b\n.EE\n",
		"\\fB--check\\fP\nsay --more\n",
	} {
		if !strings.Contains(roff, want) {
			t.Errorf("%q is not in\n%s", want, roff)
		}
	}
	if strings.Contains(roff, "internal") || strings.Contains(string(pages[0].Roff("1.2", day)), "secret") {
		t.Error("what is hidden is shown")
	}
}

func TestWhatSaysNothingIsRefused(t *testing.T) {
	for says, change := range map[string]func(*cobra.Command){
		"warren look --more": func(c *cobra.Command) { c.Flags().Bool("more", false, "") },
		"warren look":        func(c *cobra.Command) { c.Short = "" },
	} {
		if _, err := Commands(tree(change)); err == nil || !strings.HasSuffix(err.Error(), ": "+says) {
			t.Errorf("%s: %v", says, err)
		}
	}
}

func TestConfig(t *testing.T) {
	p, err := Config(fstest.MapFS{
		"warren.toml":    {Data: []byte("# About\n# it.\n\n# The name, see `x_y`:\n#   \"any\"  all\n# Default: none.\nname = \"a\"\n\n# A table.\n[tls]\n\n# Some.\n# Required.\nlisten = [\n  \"a\",\n]\n")},
		"peers.d/b.toml": {Data: []byte("# A peer.\n\n[bgp]\nasn = 1\n")},
	})
	if err != nil || p.File() != "warren.toml.5" {
		t.Fatal(err)
	}
	roff := string(p.Roff("1.2", day))
	rest := roff
	for _, want := range []string{
		".SH DESCRIPTION\nAbout\nit.\n",
		".SS name\n.EX\nname = \"a\"\n.EE\n", "The name, see \\fBx_y\\fR:\n", ".EX\n  \"any\"  all\n.EE\n", "Default: none.\n",
		".SS [tls]\nA table.\n",
		".SS listen\n.EX\nlisten = [\n  \"a\",\n]\n.EE\n", "Some.\n", "Required.\n",
		".SH peers.d/b.toml\nA peer.\n", ".EX\n[bgp]\nasn = 1\n.EE\n",
	} {
		_, after, found := strings.Cut(rest, want)
		if !found {
			t.Fatalf("%q is not in, or not behind what comes before it:\n%s", want, roff)
		}
		rest = after
	}
	if _, err := Config(fstest.MapFS{"warren.toml": {Data: []byte("name = 1\n")}}); err == nil {
		t.Error("a reference without peers is accepted")
	}
	if _, err := Config(fstest.MapFS{"warren.toml": {Data: []byte("# Lost.\nnonsense\n")}, "peers.d/b.toml": {}}); err == nil {
		t.Error("what is neither a table nor a key is accepted")
	}
}
