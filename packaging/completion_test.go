//go:build packages

package packaging

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"warren/internal/skip"
)

// typed are lines, with the config's file for CONFIG, and what a shell is to offer for the last word.
var typed = []struct {
	line string
	want []string
}{
	{"warren statu", []string{"status"}},
	{"warren dow", []string{"down"}},
	{"warren re", []string{"reload", "remove", "reset", "restart"}},
	{"warren status --js", []string{"--json"}},
	{"warren why 10.2.0.0/16 --fr", []string{"--from"}},
	{"warren status -c CONFIG ", []string{"berlin", "hub", "london", "site-b"}},
	{"warren status -c CONFIG lond", []string{"london"}},
	{"warren drain -c CONFIG site", []string{"site-b"}},
	{"warren why -c CONFIG 10.2.0.0/16 --from h", []string{"hub"}},
	{"warren log-level ", []string{"debug", "error", "info", "warn"}},
	{"warren status -c CONFIG nobo", nil},
}

// shell is one that completes, with the packaged program in PATH and the packaged script where it looks for scripts by
// itself.
type shell struct {
	program  string
	needs    string // a file of another package, if it needs one
	of       string
	script   string // has the line in $LINE, writes what is offered, a line for each
	finishes bool   // the script writes first what has become of the line
}

var shells = []shell{
	{"bash", "/usr/share/bash-completion/bash_completion", "bash-completion", bashScript, false},
	{"fish", "", "fish", `complete "--do-complete=$LINE"`, false},
	{"zsh", "", "zsh", zshScript, true},
}

// bash-completion loads what belongs to a command when that is completed for the first time. It then has a function
// to call, as bash does.
const bashScript = `source /usr/share/bash-completion/bash_completion
_completion_loader warren; [ $? = 124 ] || { echo "no completion is found" >&2; exit 1; }
spec=$(complete -p warren); function=${spec#*-F }; function=${function%% *}
read -ra COMP_WORDS <<<"$LINE"
case $LINE in *' ') COMP_WORDS+=('') ;; esac
COMP_CWORD=$((${#COMP_WORDS[@]} - 1)) COMP_LINE=$LINE COMP_POINT=${#LINE} COMP_TYPE=9 COMP_KEY=9
$function warren "${COMP_WORDS[-1]}" "${COMP_WORDS[-2]}"
printf '%s\n' "${COMPREPLY[@]}"`

// zsh completes only at a terminal: one zsh makes that terminal and types, another one is at it. There compadd, which
// completion functions give their matches to, notes them as well.
const zshScript = `zmodload zsh/zpty zsh/zselect
wait_for() {
  until [[ -e $OUT/$1 ]]; do
    zpty -r -t inner shown
    zselect -t 5
    if (( SECONDS > 100 )); then print -ru2 "not in 100 s: $1"; exit 1; fi
  done
}
cat >$OUT/inner <<'END'
fpath=($FUNCTIONS $fpath)
autoload -Uz compinit && compinit -u -D
PROMPT=
zstyle ':completion:*' insert-tab false
typeset -ga offered
compadd() {
  [[ ${@[1,(i)(-|--)]} == *-(O|A|D)* ]] && { builtin compadd "$@"; return }
  local -a matches
  builtin compadd -A matches "$@"
  offered+=("${matches[@]}")
  builtin compadd "$@"
}
tab() {
  zle complete-word
  print -rl -- "$BUFFER" "${(u)offered[@]}" >$OUT/offered
  : >$OUT/done
}
zle -N tab
bindkey '^I' tab
: >$OUT/ready
END
zpty -b inner zsh -f -i
zpty -w inner "source $OUT/inner"
wait_for ready
zpty -w -n inner "$LINE"$'\t'
wait_for done
cat $OUT/offered`

// offers has a shell complete a line. It returns what is offered, sorted, and what has become of the line, if the shell tells.
func (s shell) offers(t *testing.T, root, line string) (offered []string, became string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, s.program, "-c", s.script)
	home := t.TempDir()
	cmd.Dir = home
	share := filepath.Join(root, "usr/share")
	cmd.Env = []string{"PATH=" + filepath.Join(root, "usr/bin") + ":/usr/bin:/bin", "HOME=" + home, "TERM=xterm", "LC_ALL=C.UTF-8",
		"XDG_DATA_DIRS=" + share + ":/usr/share", "FUNCTIONS=" + zshFunctions(t, share), "OUT=" + home, "LINE=" + line}
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s, asked for %q: %v\n%s%s", s.program, line, err, out, errs.Bytes())
	}
	text := string(out)
	if s.finishes {
		became, text, _ = strings.Cut(text, "\n")
	}
	for line := range strings.Lines(text) {
		// What stands behind a word describes it.
		if words := strings.Fields(line); len(words) > 0 {
			offered = append(offered, words[0])
		}
	}
	slices.Sort(offered)
	return offered, became
}

// zshFunctions is the directory with the package's function for zsh.
func zshFunctions(t *testing.T, share string) string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(share, "zsh", "*", "_warren"))
	if err != nil || len(found) != 1 {
		t.Fatalf("for zsh there is %q: %v", found, err)
	}
	return filepath.Dir(found[0])
}

// TestShellsComplete has each shell complete commands, flags and peers' names.
func TestShellsComplete(t *testing.T) {
	dir := t.TempDir()
	makeDirs(t, filepath.Join(dir, "peers.d"))
	for _, peer := range []string{"site-b", "hub", "london", "berlin"} {
		if err := os.WriteFile(filepath.Join(dir, "peers.d", peer+".toml"), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, s := range shells {
		t.Run(s.program, func(t *testing.T) {
			t.Parallel()
			if _, err := exec.LookPath(s.program); err != nil {
				skip.OutsideCI(t, "%v: install %s", err, s.of)
			}
			if _, err := os.Stat(s.needs); s.needs != "" && err != nil {
				skip.OutsideCI(t, "%v: install %s", err, s.of)
			}
			for _, kind := range kinds {
				root, lines := here(t, kind).unpacked(t), typed
				if kind == "rpm" { // the same script, at another place
					lines = typed[:1]
				}
				for _, test := range lines {
					line := strings.ReplaceAll(test.line, "CONFIG", filepath.Join(dir, "warren.toml"))
					got, became := s.offers(t, root, line)
					if !slices.Equal(got, test.want) {
						t.Errorf("%s: %q: it offers %q, and is to offer %q", kind, test.line, got, test.want)
					}
					if !s.finishes {
						continue
					}
					want := line
					if len(test.want) == 1 {
						want = line[:strings.LastIndex(line, " ")+1] + test.want[0] + " "
					}
					if strings.TrimRight(became, " ") != strings.TrimRight(want, " ") && len(test.want) < 2 {
						t.Errorf("%s: %q becomes %q", kind, test.line, became)
					}
				}
			}
		})
	}
}
