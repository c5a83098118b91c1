//go:build packages

package packaging

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// packages returns the directory that a variable of the environment names, and the only package of
// that kind in it.
func packages(t *testing.T, variable, pattern string) (dir, name string) {
	t.Helper()
	dir, err := filepath.Abs(os.Getenv(variable))
	if err != nil {
		t.Fatal(err)
	}
	found, err := filepath.Glob(filepath.Join(dir, pattern))
	if err != nil || len(found) != 1 {
		t.Fatalf("%s=%s has %q: run make test-packages", variable, dir, found)
	}
	return dir, filepath.Base(found[0])
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

// TestPackageUnderSystemd is the life of the Debian package on a router: installed, configured, started, reloaded,
// upgraded while its tunnel carries, hung, stopped, removed and purged.
func TestPackageUnderSystemd(t *testing.T) {
	dir, first := packages(t, "WARREN_PACKAGES", "*.deb")
	nextDir, next := packages(t, "WARREN_PACKAGES_NEXT", "*.deb")
	if err := os.Link(filepath.Join(nextDir, next), filepath.Join(dir, "next")); err != nil && !os.IsExist(err) {
		t.Fatal(err)
	}
	defer os.Remove(filepath.Join(dir, "next"))
	b := boot(t, dir)
	first, next = "/packages/"+first, "/packages/next"

	t.Log("installed, it neither runs nor will it at boot, and nothing is configured")
	b.run("dpkg -i " + first)
	b.notYet()
	b.run("id warren && test -x /usr/libexec/warren/gobgp && /usr/libexec/warren/gobgp --help")
	if got := b.run("stat -c %a:%U:%G /etc/warren /etc/warren/peers.d"); got != "700:root:root\n700:root:root" {
		t.Errorf("the directories are %s", got)
	}
	if got := b.run("find /etc/warren -type f"); got != "" {
		t.Errorf("the package brings %s", got)
	}
	version := b.run("warren version | head -1 | cut -d' ' -f2")

	t.Log("configured and started, systemd is told when it is ready")
	b.run(nearEnd)
	if got := b.run("warren __complete status ''"); !strings.HasPrefix(got, "site-b\n") {
		t.Errorf("completion offers %s", got)
	}
	b.run(farEnd)
	b.run("systemctl enable --now warren")
	b.run("systemctl is-active warren && warren status")
	b.succeeds("warren status --check")
	b.run("ip route show 10.2.0.0/16 proto bgp | grep 'dev site-b'")
	b.run("ps -o user= -p $(pgrep -f 'warren speaker' -P $(systemctl show -P MainPID warren)) | grep -x warren")

	t.Log("a reload goes to the daemon, and fails with the reason if the config is wrong")
	b.run("systemctl reload warren")
	b.run("cp /etc/warren/warren.toml /saved; echo 'nonsense = 1' >>/etc/warren/peers.d/site-b.toml")
	b.fails("systemctl reload warren")
	b.run("journalctl --no-pager -u warren | grep nonsense; systemctl is-active warren")
	b.run("sed -i /nonsense/d /etc/warren/peers.d/site-b.toml; systemctl reload warren")

	t.Log("an upgrade replaces the program in the process, and keeps interface, route and config")
	files := "sha256sum /etc/warren/warren.toml /etc/warren/peers.d/* /etc/warren/*.secret"
	kept := "systemctl show -P MainPID -P NRestarts warren; ip -o link show site-b | cut -d: -f1; " + files
	before := b.run(kept)
	if says := b.run("dpkg -i " + next + " 2>&1"); strings.Contains(says, "goes on until") {
		t.Errorf("dpkg says %s", says)
	}
	if after := b.run(kept); after != before {
		t.Errorf("before the upgrade\n%s\nand after it\n%s", before, after)
	}
	running := "warren status --json | grep -o '\"version\": *\"[^\"]*\"' | cut -d'\"' -f4"
	if got, on := b.run(running), b.run("warren version | head -1 | cut -d' ' -f2"); got != on || got == version {
		t.Errorf("%s runs, %s is on disk; before it was %s", got, on, version)
	}
	b.succeeds("warren status --check && ip route show 10.2.0.0/16 proto bgp | grep 'dev site-b'")

	t.Log("a daemon that hangs is started again by the watchdog")
	b.run("mkdir -p /run/systemd/system/warren.service.d; printf '[Service]\nWatchdogSec=2s\n' >/run/systemd/system/warren.service.d/soon.conf; systemctl daemon-reload; systemctl restart warren")
	b.succeeds("warren status --check")
	hung := b.run("systemctl show -P MainPID warren")
	b.run("kill -STOP " + hung)
	b.until("another process runs", func() bool {
		pid, err := b.output("systemctl is-active --quiet warren && systemctl show -P MainPID warren")
		return err == nil && strings.TrimSpace(pid) != hung
	})
	b.run("journalctl --no-pager -u warren | grep -i watchdog")
	b.succeeds("warren status --check")

	t.Log("stopped, it leaves nothing in the kernel; upgraded then, it stays stopped")
	b.run("systemctl stop warren")
	b.gone()
	b.run("dpkg -i " + first + "; ! systemctl is-active warren; systemctl is-enabled warren")

	t.Log("removed while it runs, it stops, and keeps what the operator wrote; so does purging")
	b.run("systemctl start warren")
	own := b.run(files)
	b.run("dpkg -r warren")
	b.gone()
	b.run("! systemctl cat warren && ! systemctl is-active warren && test ! -e /usr/bin/warren && test ! -e /etc/systemd/system/multi-user.target.wants/warren.service && test -d /var/lib/warren")
	if says := b.run("dpkg -P warren 2>&1"); !strings.Contains(says, "/etc/warren stays") {
		t.Errorf("dpkg says %s", says)
	}
	if got := b.run(files + "; test ! -e /var/lib/warren"); got != own {
		t.Errorf("the operator's files are %s, and were %s", got, own)
	}

	t.Log("installed again, it takes them; where there is nothing, nothing stays")
	b.run("dpkg -i " + next + " && warren check")
	b.notYet()
	b.run("rm -r /etc/warren/*; dpkg -P warren; test ! -e /etc/warren && ! find /usr /etc /var -name '*warren*' ! -path '*/dpkg/*' -not -path '/usr/local/*' | grep .")
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
