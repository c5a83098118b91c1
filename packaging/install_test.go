//go:build packages

package packaging

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// manager installs and removes one kind of package.
type manager struct {
	kind string
	// A file follows: of a version newer than what is there, of the same, or of an older one.
	install, again, back string
	remove               string
	// verify writes what is not as the package has it.
	verify string
}

// Debian's rpm wants to hear that it is meant. What the package requires is not in its data base, which is
// a new one; TestWhatPackagesSay has what that is.
const rpmDebian = "rpm --dbpath /var/lib/rpm --force-debian --nodeps "

var managers = map[string]manager{
	"deb": {"deb", "dpkg -i ", "dpkg -i ", "dpkg -i ", "dpkg -r warren", "dpkg -V warren"},
	"rpm": {"rpm", rpmDebian + "-U ", rpmDebian + "--reinstall ", rpmDebian + "-U --oldpackage ", rpmDebian + "-e warren", "rpm --dbpath /var/lib/rpm --nodeps -V warren"},
}

// there are the two versions of the package for this machine, as seen in the Debian.
func (m manager) there(t *testing.T) (first, next string) {
	t.Helper()
	p := here(t, m.kind)
	return "/packages/" + filepath.Base(p.file), "/next/" + filepath.Base(find(t, "WARREN_PACKAGES_NEXT", m.kind, p.architecture))
}

// The far end of the only tunnel is another warren in a network namespace of the booted Debian.
const farEnd = `set -e
ip netns add far
ip link add wan type veth peer name wan netns far
ip addr add 192.0.2.1/24 dev wan; ip link set wan up; ip link set lo up
ip -n far addr add 192.0.2.2/24 dev wan; ip -n far link set wan up; ip -n far link set lo up
mkdir -p /far/peers.d
cat >/far/warren.toml <<END
asn = 64513
router_id = "10.2.0.1"
[announce]
networks = ["10.2.0.0/16"]
[api]
socket = "/far/warren.sock"
END
cat >/far/peers.d/site-a.toml <<END
[tunnel]
remotes = ["192.0.2.1:443"]
secret_file = "a-b.secret"
[bgp]
asn = 64512
import = ["10.1.0.0/16"]
END
cp /etc/warren/a-b.secret /far/
systemd-run --quiet --unit=far ip netns exec far warren run -c /far/warren.toml
`

const nearEnd = `set -e; umask 077
cat >/etc/warren/warren.toml <<END
asn = 64512
router_id = "10.1.0.1"
[announce]
networks = ["10.1.0.0/16"]
[tls]
listen = ["0.0.0.0:443"]
[history]
file = "/var/lib/warren/history.jsonl"
END
cat >/etc/warren/peers.d/site-b.toml <<END
[tunnel]
secret_file = "a-b.secret"
[bgp]
asn = 64513
import = ["10.2.0.0/16"]
END
warren keygen --secret /etc/warren/a-b.secret
`

// own are the operator's files.
const own = "sha256sum /etc/warren/warren.toml /etc/warren/peers.d/* /etc/warren/*.secret"

// TestPackageUnderSystemd is the life of the package on a router: installed, configured, started, reloaded,
// upgraded while its tunnel carries, hung, stopped, removed; of the Debian one also purged.
func TestPackageUnderSystemd(t *testing.T) {
	for _, kind := range kinds {
		t.Run(kind, func(t *testing.T) {
			m := managers[kind]
			first, next := m.there(t)
			b := boot(t)
			b.installed(m, first)
			b.started()
			b.reloaded()
			b.upgraded(m, next)
			if kind == "deb" {
				b.watched()
			}
			b.stopped(m, first)
			b.removed(m, next)
		})
	}
}

func (b *booted) installed(m manager, file string) {
	b.t.Helper()
	b.t.Log("installed, it neither runs nor will it at boot, and nothing is configured")
	b.change(m.install + file)
	b.notYet()
	b.run("id warren && test -x /usr/libexec/warren/gobgp && /usr/libexec/warren/gobgp --help")
	if got := b.run("stat -c %a:%U:%G /etc/warren /etc/warren/peers.d"); got != "700:root:root\n700:root:root" {
		b.t.Errorf("the directories are %s", got)
	}
	if got := b.run("find /etc/warren -type f"); got != "" {
		b.t.Errorf("the package brings %s", got)
	}
	if got := b.run(m.verify); got != "" {
		b.t.Errorf("what is there is not what the package has: %s", got)
	}
}

func (b *booted) started() {
	b.t.Helper()
	b.t.Log("configured and started, systemd is told when it is ready")
	b.run(nearEnd)
	if got := b.run("warren __complete status ''"); !strings.HasPrefix(got, "site-b\n") {
		b.t.Errorf("completion offers %s", got)
	}
	b.run(farEnd)
	b.run("systemctl enable --now warren")
	b.run("systemctl is-active warren && warren status")
	b.succeeds("warren status --check")
	b.succeeds("ip route show 10.2.0.0/16 proto bgp | grep 'dev site-b'") // a moment after the session
	b.run("ps -o user= -p $(pgrep -f 'warren speaker' -P $(systemctl show -P MainPID warren)) | grep -x warren")
}

func (b *booted) reloaded() {
	b.t.Helper()
	b.t.Log("a reload goes to the daemon, and fails with the reason if the config is wrong")
	b.run("systemctl reload warren")
	b.run("echo 'nonsense = 1' >>/etc/warren/peers.d/site-b.toml")
	b.fails("systemctl reload warren")
	b.succeeds("journalctl --no-pager -u warren | grep nonsense") // the journal takes its time
	b.run("systemctl is-active warren")
	b.run("sed -i /nonsense/d /etc/warren/peers.d/site-b.toml; systemctl reload warren")
}

func (b *booted) upgraded(m manager, file string) {
	b.t.Helper()
	b.t.Log("an upgrade replaces the program in the process, and keeps interface, route and config; so does installing the same once more")
	version := b.run("warren version | head -1 | cut -d' ' -f2")
	kept := "systemctl show -P MainPID -P NRestarts warren; systemctl is-enabled warren; ip -o link show site-b | cut -d: -f1; " + own
	before := b.run(kept)
	for _, line := range []string{m.install + file, m.again + file} {
		if says := b.change(line); strings.Contains(says, "goes on until") {
			b.t.Errorf("it says %s", says)
		}
		if after := b.run(kept); after != before {
			b.t.Errorf("before %s\n%s\nand after it\n%s", line, before, after)
		}
	}
	running := "warren status --json | grep -o '\"version\": *\"[^\"]*\"' | cut -d'\"' -f4"
	if got, on := b.run(running), b.run("warren version | head -1 | cut -d' ' -f2"); got != on || got == version {
		b.t.Errorf("%s runs, %s is on disk; before it was %s", got, on, version)
	}
	b.succeeds("warren status --check && ip route show 10.2.0.0/16 proto bgp | grep 'dev site-b'")
	if got := b.run(m.verify); got != "" {
		b.t.Errorf("what is there is not what the package has: %s", got)
	}
}

func (b *booted) watched() {
	b.t.Helper()
	b.t.Log("a daemon that hangs is started again by the watchdog")
	b.run("mkdir -p /run/systemd/system/warren.service.d; printf '[Service]\nWatchdogSec=5s\n' >/run/systemd/system/warren.service.d/soon.conf; systemctl daemon-reload; systemctl restart warren")
	b.succeeds("warren status --check")
	hung := b.run("systemctl show -P MainPID warren")
	b.run("kill -STOP " + hung)
	b.until("another process runs", func() bool {
		pid, err := b.output("systemctl is-active --quiet warren && systemctl show -P MainPID warren")
		return err == nil && strings.TrimSpace(pid) != hung
	})
	b.succeeds("journalctl --no-pager -u warren | grep -i watchdog")
	b.succeeds("warren status --check")
}

func (b *booted) stopped(m manager, file string) {
	b.t.Helper()
	b.t.Log("stopped, it leaves nothing in the kernel; another version, older even, leaves it stopped and enabled")
	b.run("systemctl stop warren")
	b.gone()
	b.change(m.back + file)
	b.run("! systemctl is-active warren && systemctl is-enabled warren")
}

func (b *booted) removed(m manager, file string) {
	b.t.Helper()
	b.t.Log("removed while it runs, it stops, and keeps what the operator wrote; so does purging")
	b.run("systemctl start warren")
	before := b.run(own)
	says := b.change(m.remove)
	b.gone()
	b.run("! systemctl cat warren && ! systemctl is-active warren && test ! -e /usr/bin/warren && test ! -e /etc/systemd/system/multi-user.target.wants/warren.service && test -s /var/lib/warren/history.jsonl")
	if m.kind == "deb" {
		says = b.change("dpkg -P warren")
		b.run("test ! -e /var/lib/warren")
	} else if !strings.Contains(says, "/var/lib/warren stays") {
		b.t.Errorf("it says %s", says)
	}
	if !strings.Contains(says, "/etc/warren stays") {
		b.t.Errorf("it says %s", says)
	}
	if got := b.run(own); got != before {
		b.t.Errorf("the operator's files are %s, and were %s", got, before)
	}

	b.t.Log("installed again, it takes them; where there is nothing, nothing stays")
	b.change(m.install + file)
	b.run("warren check")
	b.notYet()
	b.run("for dir in /etc/warren /var/lib/warren; do test ! -d $dir || find $dir -type f -delete; done")
	says = b.change(m.remove)
	if m.kind == "deb" {
		says += b.change("dpkg -P warren")
	}
	if strings.Contains(says, "stays") {
		b.t.Errorf("it says %s", says)
	}
	b.run("test ! -e /etc/warren && test ! -e /var/lib/warren && ! find /usr /etc /var -name '*warren*' ! -path '*/dpkg/*' -not -path '/usr/local/*' | grep .")
}

// change installs or removes a package, and returns what is said. A script that fails is told of and does not
// always make rpm fail.
func (b *booted) change(line string) string {
	b.t.Helper()
	says := b.run(line + " 2>&1")
	if strings.Contains(says, "failed") || strings.Contains(says, "error") {
		b.t.Errorf("%s:\n%s", line, says)
	}
	return says
}

// notYet: nothing runs, and nothing will at boot.
func (b *booted) notYet() {
	b.t.Helper()
	b.run("! systemctl is-active warren && test \"$(systemctl is-enabled warren)\" = disabled && test ! -e /run/warren")
}

// gone: of the daemon nothing is left in the kernel.
func (b *booted) gone() {
	b.t.Helper()
	b.run("! ip link show site-b && test -z \"$(ip route show table all proto bgp)\" && ! nft list tables | grep -i warren && ! pgrep -P 1 -f '^/usr/bin/warren'")
}

// TestPackageInATree installs, upgrades and removes the package in a Debian that nothing runs in, as for a machine
// that is to be booted from it: the user is made, and the unit's link for the boot goes with the package.
func TestPackageInATree(t *testing.T) {
	const link = "/etc/systemd/system/multi-user.target.wants/warren.service"
	for _, kind := range kinds {
		t.Run(kind, func(t *testing.T) {
			m := managers[kind]
			first, next := m.there(t)
			root := overlay(t, t.TempDir())
			name := "warren-tree-" + strconv.Itoa(os.Getpid())
			t.Cleanup(func() { leaveCgroup(name) })
			argv := slices.Concat([]string{"-c", inCgroup, "sh", name}, nspawn(t, name, root), []string{"--pipe", "/bin/sh", "-euxc", strings.Join([]string{
				"test ! -e /run/systemd/system",
				m.install + first, "getent passwd warren", "test ! -e " + link,
				"systemctl enable warren", "test -h " + link,
				m.install + next, "test -h " + link, "warren version | grep next",
				m.remove, "test ! -h " + link, "test ! -e /usr/bin/warren",
			}, "\n")})
			command(t, "/bin/sh", argv...)
		})
	}
}
