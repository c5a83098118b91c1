//go:build lab

package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"warren/lab/topo"
)

// A home is what a machine of its own has and a network namespace has not: its
// /etc, /run and /usr/local/bin. Commands on a host that has one see it there.
type home struct {
	dir string // has etc, run and bin
}

// enterHome mounts a home, $0, and runs its arguments. `ip netns exec` has put it into a
// mount namespace already.
const enterHome = `mount --bind "$0/etc" /etc && mount --bind "$0/run" /run && mount --bind "$0/bin" /usr/local/bin || exit 1
PATH="/usr/local/bin:$PATH" exec "$@"`

func (m *home) inside(argv []string) []string {
	return append([]string{"sh", "-c", enterHome, m.dir}, argv...)
}

// fakeSCP stands for scp between the hosts of a scenario. It is a format for the cases of farPath.
const fakeSCP = `#!/bin/sh -e
[ "$1" != -p ] || shift
path() { case $1 in %s *@*|*:*) exit 1 ;; *) echo "$1" ;; esac; }
cp -p "$(path "$1")" "$(path "$2")"
`

// farPath is where fakeSCP finds the files of a host, by one of its addresses, if that can
// be reached from here. It is a format for the address, twice, and the host's home.
const farPath = `root@%s:*) ping -c 1 -W 5 %s >/dev/null && echo "%s/${1#*:}" ;; `

// scp returns the program of that name for the hosts of a scenario.
func (s *scenario) scp() string {
	var cases strings.Builder
	for _, l := range s.links {
		for _, end := range []*topo.Iface{l.A, l.B} {
			for _, p := range end.Addrs {
				if p.Addr().Is4() {
					fmt.Fprintf(&cases, farPath, p.Addr(), p.Addr(), filepath.Join(s.work, "homes", end.Host.Name))
				}
			}
		}
	}
	return fmt.Sprintf(fakeSCP, cases.String())
}

// makeHome gives a host a home: a copy of this machine's /etc, an empty /run, and
// what README has copied to both routers before it begins.
func (s *scenario) makeHome(ctx context.Context, name string) error {
	m := &home{dir: filepath.Join(s.work, "homes", name)}
	for _, dir := range []string{"bin", "run"} {
		if err := os.MkdirAll(filepath.Join(m.dir, dir), 0o755); err != nil {
			return err
		}
	}
	h, err := s.host(name)
	if err != nil {
		return err
	}
	// Files that only another user may read are no loss. A router of this machine's own is none of the readers'.
	_, err = h.Run(ctx, "sh", "-c", `cp -a /etc "$1/etc" 2>/dev/null; rm -rf "$1/etc/warren"; cp "$2/warren" "$2/gobgp" "$1/bin" &&
		mkdir -p "$1/etc/systemd/system" && cp ../configs/warren.service "$1/etc/systemd/system"`, "sh", m.dir, bin)
	if err == nil {
		err = os.WriteFile(filepath.Join(m.dir, "bin", "scp"), []byte(s.scp()), 0o755)
	}
	s.homes[name] = m
	return err
}

// readme types a section of README.md, or of another file that is named before it, at the hosts that it names:
// its files are written and its commands run, as they are there. Where a second section has one of the
// files that one is written.
func readme(s *scenario, ts *testscript.TestScript, _ bool, args []string) error {
	ctx, cancel := bounded()
	defer cancel()
	steps, what, args, err := readSteps(args)
	if err != nil {
		return err
	}
	if len(args) > 0 {
		other, _, _, err := readSteps(args)
		if err != nil {
			return err
		}
		steps = replaceFiles(steps, other)
	}
	for _, st := range steps {
		if s.homes[st.host] == nil {
			if err := s.makeHome(ctx, st.host); err != nil {
				return err
			}
		}
		ts.Logf("[readme] %s", st)
		if err := s.do(ctx, st); err != nil {
			return fmt.Errorf("%s: %s: %w", what, st, err)
		}
	}
	return nil
}

// readSteps takes [FILE.md] SECTION from the arguments, and returns its steps, what it is, and the arguments that are left.
func readSteps(args []string) (steps []step, what string, rest []string, err error) {
	file := "README.md"
	if len(args) > 0 && strings.HasSuffix(args[0], ".md") {
		file, args = args[0], args[1:]
	}
	if err := need(args, 1, "readme [FILE.md] SECTION [[FILE.md] FILES-OF-SECTION]"); err != nil {
		return nil, "", nil, err
	}
	what = file + ", " + args[0]
	text, err := os.ReadFile(filepath.Join("..", file))
	if err != nil {
		return nil, what, nil, err
	}
	if steps, err = readSection(string(text), args[0]); err == nil && len(steps) == 0 {
		err = errors.New("nothing is typed there")
	}
	if err != nil {
		return nil, what, nil, fmt.Errorf("%s: %w", what, err)
	}
	return steps, what, args[1:], nil
}

// A step is a command to type, or a file to write.
type step struct {
	host, command string
	path, text    string
}

func (st step) String() string {
	if st.path != "" {
		return st.host + ": " + st.path
	}
	return st.host + "# " + st.command
}

var (
	typedLine = regexp.MustCompile(`^([a-z]+-[a-z0-9]+)# (.+)$`)
	fileLine  = regexp.MustCompile(`^# ([a-z]+-[a-z0-9]+): (/\S+)$`)
)

// readSection returns the steps of the section with that heading, without those of
// the sections below it.
func readSection(text, heading string) (steps []step, err error) {
	_, text, found := strings.Cut(text, "\n"+heading+"\n")
	if !found {
		return nil, fmt.Errorf("there is no section %q", heading)
	}
	var block []string
	inside, indent := false, ""
	for line := range strings.Lines(text) {
		trimmed := strings.TrimRight(line, "\n")
		switch {
		case !inside && strings.HasPrefix(line, "#"):
			return steps, nil
		case strings.HasPrefix(strings.TrimSpace(trimmed), "```"):
			if inside {
				more, err := readBlock(block)
				if err != nil {
					return nil, err
				}
				steps = append(steps, more...)
			}
			inside, block = !inside, nil
			indent, _, _ = strings.Cut(trimmed, "`")
		case inside:
			block = append(block, strings.TrimPrefix(trimmed, indent)) // of a list
		}
	}
	return steps, nil
}

// readBlock makes steps of one block, in which nothing else may be.
func readBlock(lines []string) (steps []step, err error) {
	if m := fileLine.FindStringSubmatch(lines[0]); m != nil {
		return []step{{host: m[1], path: m[2], text: strings.Join(lines, "\n") + "\n"}}, nil
	}
	for _, line := range lines {
		m := typedLine.FindStringSubmatch(line)
		if m == nil {
			return nil, fmt.Errorf("neither a file nor a command to type: %q", line)
		}
		steps = append(steps, step{host: m[1], command: m[2]})
	}
	return steps, nil
}

// replaceFiles takes those files from other that steps write too.
func replaceFiles(steps, other []step) (out []step) {
	texts := map[string]string{}
	for _, st := range other {
		texts[st.host+st.path] = st.text
	}
	for _, st := range steps {
		if text, ok := texts[st.host+st.path]; ok && st.path != "" {
			st.text = text
		}
		out = append(out, st)
	}
	return out
}

// printed is where a reader puts in what a command has printed.
var printed = regexp.MustCompile(`SHA256:… as (site-[ab])'s keygen printed it`)

// invitationLine is what `warren invite` prints for another router, and joining where a reader puts it in.
var invitationLine = regexp.MustCompile(`(?m)^warren1[a-z2-7]+$`)

const joining = "warren join 'LINE'"

func (s *scenario) do(ctx context.Context, st step) error {
	if st.path != "" {
		m := printed.FindStringSubmatch(st.text)
		if m != nil && s.homes[m[1]] == nil {
			return errors.New("nothing was printed there")
		}
		if m != nil {
			st.text = strings.Replace(st.text, m[0], s.fingerprints[m[1]], 1)
		}
		return os.WriteFile(filepath.Join(s.homes[st.host].dir, st.path), []byte(st.text), 0o644)
	}
	if st.command == "systemctl enable --now warren" {
		return s.startUnit(ctx, st.host)
	}
	command := st.command
	if strings.HasPrefix(command, joining) {
		if s.invitation == "" {
			return errors.New("nobody has invited")
		}
		command = "echo yes | " + strings.Replace(command, "LINE", s.invitation, 1)
	}
	out, err := call{host: st.host, args: []string{"sh", "-c", command}}.run(ctx, s)
	if m := fingerprint.FindStringSubmatch(out); m != nil {
		s.fingerprints[st.host] = m[1]
	}
	if line := invitationLine.FindString(out); line != "" {
		s.invitation = line
	}
	return err
}

// startUnit does what systemd does with the unit, as far as it matters here: it runs
// what ExecStart says, and waits until that is ready.
func (s *scenario) startUnit(ctx context.Context, name string) error {
	h, err := s.host(name)
	if err != nil {
		return err
	}
	unit, err := os.ReadFile(filepath.Join(s.homes[name].dir, "etc/systemd/system/warren.service"))
	if err != nil {
		return err
	}
	m := regexp.MustCompile(`(?m)^ExecStart=(.+)$`).FindStringSubmatch(string(unit))
	if m == nil {
		return errors.New("the unit has no ExecStart")
	}
	p, err := h.Start(s.homes[name].inside(strings.Fields(m[1]))...)
	if err != nil {
		return err
	}
	s.daemons[name] = p
	_, err = topo.Eventually(ctx, 50*time.Millisecond, patience, func() error {
		_, err := call{host: name, args: []string{"warren", "status"}}.run(ctx, s)
		return err
	})
	return err
}
