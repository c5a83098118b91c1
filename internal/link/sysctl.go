package link

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

const sysctlRoot = "/proc/sys/net"

// sysctls are what a tunnel interface needs, as paths below /proc/sys/net with
// a star for its name.
var sysctls = []struct{ path, value string }{
	// Routes over tunnels are asymmetric by nature: what comes in by one may
	// well have its way back through another. Loose mode, RFC 3704 2.4; the
	// kernel takes the maximum of this and of conf/all, so that it is loose also
	// where all the others are strict. It needs an IPv4 address: see WithIPv4.
	{"ipv4/conf/*/rp_filter", "2"},
	{"ipv4/conf/*/accept_redirects", "0"},
	{"ipv4/conf/*/send_redirects", "0"},
	{"ipv6/conf/*/accept_redirects", "0"},
	{"ipv6/conf/*/accept_ra", "0"}, // the peer must not configure this router
	{"ipv6/conf/*/autoconf", "0"},
	// Hosts turn IPv6 off by conf/default, and this one interface needs it. Last, since the
	// kernel acts on the others when IPv6 comes (net/ipv6/addrconf.c, dev_disable_change).
	{"ipv6/conf/*/disable_ipv6", "0"},
}

// Prepare sets the sysctls of a tunnel interface of our own: loose reverse path
// filter, IPv6 but no router advertisements, no autoconfiguration, no redirects, no
// link-local address of the kernel's making. Call it before SetUp: the kernel
// makes that address when the interface goes up. Where IPv6 is not there its
// part is left out.
func Prepare(name string) error {
	return errors.Join(noLinkLocal(name), prepare(sysctlRoot, name))
}

// noLinkLocal keeps the kernel from making a link-local address. The sysctl addr_gen_mode does
// so too, but whoever reads or writes that spins for as long as somebody else changes any
// interface (net/ipv6/addrconf.c, addrconf_sysctl_addr_gen_mode): with many tunnels being
// opened at once, two thirds of the processor time that it took. By netlink one waits.
func noLinkLocal(name string) error {
	const none = 1 // IN6_ADDR_GEN_MODE_NONE (include/uapi/linux/if_link.h)
	l, err := find(name)
	if err == nil {
		err = notFound(netlink.LinkSetIP6AddrGenMode(l, none))
	}
	if err != nil && !errors.Is(err, unix.EAFNOSUPPORT) { // no IPv6, in the kernel or at this MTU
		return fmt.Errorf("link: turn off the link-local address of %s: %w", name, err)
	}
	return nil
}

func prepare(root, name string) error {
	// Not an interface's name, but a directory beside them: this would change
	// every interface of the machine.
	if name == "all" || name == "default" || name == "" || name == "." || name == ".." || strings.Contains(name, "/") {
		return fmt.Errorf("link: %q cannot be an interface's name", name)
	}
	var errs []error
	for _, s := range sysctls {
		err := setSysctl(filepath.Join(root, strings.Replace(s.path, "*", name, 1)), s.value)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, fmt.Errorf("link: set a sysctl of %s: %w", name, err))
		}
	}
	return errors.Join(errs...)
}

// Forwarding reports whether the kernel forwards what comes in by an interface. For
// IPv6 that is a setting of the whole host.
func Forwarding(v4 bool, name string) (bool, error) { return forwarding(sysctlRoot, v4, name) }

func forwarding(root string, v4 bool, name string) (bool, error) {
	path := filepath.Join(root, "ipv6/conf/all/forwarding")
	if v4 {
		path = filepath.Join(root, "ipv4/conf", name, "forwarding")
	}
	value, err := os.ReadFile(path)
	if err != nil {
		return false, fmt.Errorf("link: read a sysctl of %s: %w", name, err)
	}
	return strings.TrimSpace(string(value)) != "0", nil
}

// setSysctl writes only where the value differs, so that it works where
// /proc/sys is read-only and somebody has set it before.
func setSysctl(path, value string) error {
	have, err := os.ReadFile(path)
	if err == nil && strings.TrimSpace(string(have)) == value {
		return nil
	}
	f, err := os.OpenFile(path, os.O_WRONLY, 0) // no O_CREATE: it would hide that the file is missing
	if err != nil {
		return err
	}
	_, err = f.WriteString(value)
	return errors.Join(err, f.Close())
}
