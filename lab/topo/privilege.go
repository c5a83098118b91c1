package topo

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// reexecMark is set in the environment of a program that Reexec has run again:
// to "new" by the one before, then to "ready" for the programs that this one starts.
const reexecMark = "WARREN_LAB_USERNS"

// needs says what a machine must offer.
const needs = "needs root, or unprivileged user namespaces (sysctl kernel.unprivileged_userns_clone=1, " +
	"kernel.apparmor_restrict_unprivileged_userns=0, user.max_user_namespaces above 0) " +
	"and read and write access to /dev/net/tun"

// unshare runs a command as root of new user, network and mount namespaces.
var unshare = []string{"unshare", "--user", "--map-root-user", "--net", "--mount", "--"}

// Unprivileged tells whether the program runs in the user namespace that Reexec
// made. Its namespaces can then not be seen from outside, and end with it.
func Unprivileged() bool { return os.Getenv(reexecMark) != "" }

// Reexec makes sure that the program may make network namespaces and TUN
// devices. For root it only checks that. Otherwise it replaces the program by
// itself, same arguments and same process number, as root of a user namespace
// with a /run of its own. Call it first of all, from main or TestMain. An error
// says what the machine lacks.
func Reexec() error {
	addSbinToPath()
	if err := checkTUN(); err != nil {
		return err
	}
	switch {
	case os.Getenv(reexecMark) == "ready":
		return nil
	case Unprivileged():
		// `ip netns` keeps its names in /run/netns; the real /run is not ours to write.
		if err := unix.Mount("tmpfs", "/run", "tmpfs", 0, "mode=755"); err != nil {
			return fmt.Errorf("%s: mount /run: %w", needs, err)
		}
		// The network namespace is new too, and a loopback that is down is no
		// place for tests that talk to themselves.
		if out, err := exec.Command("ip", "link", "set", "lo", "up").CombinedOutput(); err != nil {
			return fmt.Errorf("%s: set the loopback up: %w: %s", needs, err, strings.TrimSpace(string(out)))
		}
		return os.Setenv(reexecMark, "ready")
	case privileged():
		return nil
	}
	probe := append(append([]string(nil), unshare[1:]...), "mount", "-t", "tmpfs", "tmpfs", "/run")
	if out, err := exec.Command(unshare[0], probe...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %s: %w: %s", needs, strings.Join(unshare, " "), err, strings.TrimSpace(string(out)))
	}
	return replaceSelf()
}

// replaceSelf runs this program again under unshare; it returns only on failure.
func replaceSelf() error {
	path, err := exec.LookPath(unshare[0])
	if err != nil {
		return fmt.Errorf("%s: %w", needs, err)
	}
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("topo: run this program again: %w", err)
	}
	argv := append(append(append([]string(nil), unshare...), self), os.Args[1:]...)
	err = syscall.Exec(path, argv, append(os.Environ(), reexecMark+"=new"))
	return fmt.Errorf("topo: run this program again: %w", err)
}

// privileged tells whether the program is a root that may make namespaces and
// mounts: one in a container often may not.
func privileged() bool {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&header, &data[0]); err != nil {
		return false
	}
	const want = 1<<unix.CAP_SYS_ADMIN | 1<<unix.CAP_NET_ADMIN
	return os.Geteuid() == 0 && data[0].Effective&want == want
}

// checkTUN opens the device that every tunnel needs, which tells more than its mode.
func checkTUN() error {
	f, err := os.OpenFile("/dev/net/tun", os.O_RDWR, 0)
	if err == nil {
		return f.Close()
	}
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, syscall.ENODEV) {
		return fmt.Errorf("%s: the kernel has no TUN driver, try `modprobe tun`: %w", needs, err)
	}
	return fmt.Errorf("%s: %w", needs, err)
}

// addSbinToPath lets an ordinary user's program find ip, nft and sysctl.
func addSbinToPath() {
	path := os.Getenv("PATH")
	for _, dir := range []string{"/usr/local/sbin", "/usr/sbin", "/sbin"} {
		if !strings.Contains(":"+path+":", ":"+dir+":") {
			path += ":" + dir
		}
	}
	_ = os.Setenv("PATH", path) // fails only on a malformed name
}
