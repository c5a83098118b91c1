package manual

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// Commands returns the pages of a command and of those below it, without the hidden ones. The
// error names the commands and flags that say nothing of themselves.
func Commands(root *cobra.Command) ([]*Page, error) {
	root.InitDefaultHelpCmd()
	var missing []string
	pages := []*Page{overview(root, &missing)}
	for _, cmd := range described(root) {
		pages = append(pages, command(root, cmd, &missing))
	}
	if len(missing) > 0 {
		return nil, fmt.Errorf("manual: these have no description: %s", strings.Join(missing, ", "))
	}
	return pages, nil
}

// described are the commands that have a page of their own.
func described(root *cobra.Command) (all []*cobra.Command) {
	for _, cmd := range root.Commands() {
		if cmd.IsAvailableCommand() && cmd.Name() != "help" && cmd.Name() != "completion" {
			all = append(all, cmd)
		}
	}
	return all
}

func pageName(cmd *cobra.Command) string { return strings.ReplaceAll(cmd.CommandPath(), " ", "-") }

// overview is the page of the program itself.
func overview(root *cobra.Command, missing *[]string) *Page {
	p := newPage(root.Name(), 1, root.Short)
	note(missing, root.Name(), root.Short, root.Long)
	p.section("SYNOPSIS")
	p.printf("**%s** *COMMAND* [*ARGUMENTS*]\n\n", escape(root.Name()))
	p.section("DESCRIPTION")
	p.prose(root.Long)
	p.section("COMMANDS")
	for _, cmd := range described(root) {
		p.item(fmt.Sprintf("**%s**(1)", escape(pageName(cmd))), cmd.Short)
	}
	p.prose("Each command says with `--help` what its page says.")
	p.exitStatus()
	p.section("FILES")
	p.item("**/etc/warren/warren.toml**", "the router: see warren.toml(5)")
	p.item("**/etc/warren/peers.d/**", "a file for each peer, whose name is the peer's; its name ends in .toml")
	p.item("**/run/warren/**", "the sockets by which the running daemon is asked")
	p.item("**/var/lib/warren/**", "where the systemd unit lets the daemon keep its history")
	p.item("**/usr/share/doc/warren/**", "README.md; docs/operating.md, a page for operators, and what it leads to; examples")
	p.section("SEE ALSO")
	p.printf("**warren.toml**(5)\n")
	return p
}

// command is the page of one command.
func command(root, cmd *cobra.Command, missing *[]string) *Page {
	note(missing, cmd.CommandPath(), cmd.Short)
	p := newPage(pageName(cmd), 1, cmd.Short)
	p.section("SYNOPSIS")
	name, arguments, _ := strings.Cut(cmd.Use, " ")
	p.printf("**%s %s** %s\n\n", escape(root.Name()), escape(name), escape(arguments))
	p.section("DESCRIPTION")
	if cmd.Long != "" {
		p.prose(cmd.Long)
	} else {
		p.prose(strings.ToUpper(cmd.Short[:1]) + cmd.Short[1:] + ".")
	}
	if cmd.HasAvailableLocalFlags() {
		p.section("OPTIONS")
		cmd.LocalFlags().VisitAll(func(f *pflag.Flag) {
			if !f.Hidden {
				note(missing, cmd.CommandPath()+" --"+f.Name, f.Usage)
				p.flag(f)
			}
		})
	}
	if cmd.Example != "" {
		p.section("EXAMPLES")
		p.code(strings.Split(strings.Trim(cmd.Example, "\n"), "\n"))
	}
	p.exitStatus()
	p.section("SEE ALSO")
	p.printf("**%s**(1), **warren.toml**(5)\n", escape(root.Name()))
	return p
}

// flag writes a flag as a term: -c, --config FILE.
func (p *Page) flag(f *pflag.Flag) {
	value, usage := pflag.UnquoteUsage(f)
	term := fmt.Sprintf("**%s**", escape("--"+f.Name))
	if f.Shorthand != "" {
		term = fmt.Sprintf("**%s**, %s", escape("-"+f.Shorthand), term)
	}
	if value != "" {
		term += fmt.Sprintf(" *%s*", escape(strings.ToUpper(value)))
	}
	if f.DefValue != "" && value != "" && f.DefValue != "0" && f.DefValue != "[]" {
		usage += "; without it " + f.DefValue
	}
	p.item(term, usage)
}

// exitStatus is the same for all.
func (p *Page) exitStatus() {
	p.section("EXIT STATUS")
	p.item("**0**", "It succeeded.")
	p.item("**1**", "It did not.")
	p.item("**2**", "Of `warren status --check` alone: no daemon answers. What `warren status --plugin` ends with, its page says.")
	p.item("**3**", "It was called wrongly, and has done nothing.")
}

// note adds a subject to those that lack one of the texts.
func note(missing *[]string, subject string, texts ...string) {
	for _, text := range texts {
		if strings.TrimSpace(text) == "" {
			*missing = append(*missing, subject)
			return
		}
	}
}
