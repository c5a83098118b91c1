package config

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
	"time"

	"warren/martian"
)

// The functions here check one value each. Their errors complete a sentence
// that begins with the value, and say what is allowed.

// checkASN refuses the AS numbers that nobody may use.
func checkASN(n int64) error {
	const allowed = "; allowed are 1 to 4294967294, without 23456 and 65535"
	switch {
	case n == 0:
		return errors.New("is reserved (RFC 7607)" + allowed)
	case n == 23456:
		return errors.New("is AS_TRANS, a placeholder (RFC 6793)" + allowed)
	case n == 65535 || n == 4294967295:
		return errors.New("is reserved (RFC 7300)" + allowed)
	case n < 0 || n > 4294967295:
		return errors.New("is not an AS number" + allowed)
	}
	return nil
}

// nameSyntax leaves out that there are maxName bytes at most: package regexp writes what is repeated that
// often out, which both processes would have in memory.
var nameSyntax = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9._-]*$`)

const maxName = 63

// checkName checks a router's or peer's name.
func checkName(s string) error {
	if len(s) > maxName || !nameSyntax.MatchString(s) {
		return errors.New("is not a name: allowed are 1 to 63 letters, digits, - _ and . (no - or . at the start)")
	}
	return nil
}

// checkInterface checks the name of a network interface, as the kernel's
// dev_valid_name does and a bit more.
func checkInterface(s string) error {
	switch {
	case s == "":
		return errors.New("is empty; an interface name has 1 to 15 bytes")
	case len(s) > 15:
		return fmt.Errorf("has %d bytes; an interface name has at most 15", len(s))
	case s == "lo":
		return errors.New("is the loopback interface")
	case s == "." || s == ".." || s == "all" || s == "default":
		// The last two are directories of net.ipv4.conf and net.ipv6.conf.
		return errors.New("is reserved by the kernel")
	}
	for _, r := range []byte(s) {
		// The kernel takes % as a template, : as an alias.
		if r <= ' ' || r >= 0x7f || r == '/' || r == ':' || r == '%' {
			return fmt.Errorf("has the character %q; allowed are ASCII letters, digits and signs except / : %%", rune(r))
		}
	}
	return nil
}

// parsePrefix reads a prefix that can be routed.
func parsePrefix(s string) (netip.Prefix, error) {
	p, err := netip.ParsePrefix(s)
	if err != nil {
		if a, err := netip.ParseAddr(s); err == nil && a.Zone() == "" {
			return p, fmt.Errorf("has no length: write %v if only this address is meant", netip.PrefixFrom(a, a.BitLen()))
		}
		return p, errors.New("is not a prefix such as 10.1.0.0/16 or 2001:db8:1::/48")
	}
	if m := p.Masked(); m != p {
		return p, fmt.Errorf("has bits set behind the length: write %v", m)
	}
	if m, ok := martian.Covering(p); ok {
		return p, fmt.Errorf("can never be routed: it is inside %v", m)
	}
	return p, nil
}

// parseListen reads an address to listen at.
func parseListen(s string) (netip.AddrPort, error) {
	ap, err := netip.ParseAddrPort(s)
	if err != nil {
		if port, found := strings.CutPrefix(s, ":"); found {
			return ap, fmt.Errorf("has no address: write 0.0.0.0:%s or [::]:%s for all", port, port)
		}
		if a, err := netip.ParseAddr(strings.Trim(s, "[]")); err == nil {
			return ap, fmt.Errorf("has no port: write %s", net.JoinHostPort(a.String(), "443"))
		}
		return ap, errors.New("is not IP:port, such as 0.0.0.0:443 or [::]:443")
	}
	if ap.Port() == 0 {
		return ap, errors.New("has the port 0; allowed are 1 to 65535")
	}
	if ap.Addr().IsMulticast() || ap.Addr().Is4In6() {
		return ap, errors.New("is not an address that can listen: write one of this router's own, 0.0.0.0 or [::]")
	}
	return ap, nil
}

// parseRemote reads an endpoint to dial. usual is the port that examples have.
func parseRemote(s, usual string) (Remote, error) {
	form := strings.ReplaceAll("allowed is host:port, such as b.example.net:PORT, 198.51.100.2:PORT or [2001:db8::2]:PORT", "PORT", usual)
	host, portText, err := net.SplitHostPort(s)
	if err != nil {
		if a, err := netip.ParseAddr(strings.Trim(s, "[]")); err == nil {
			return Remote{}, fmt.Errorf("has no port: write %s", net.JoinHostPort(a.String(), usual))
		}
		return Remote{}, errors.New("is not an endpoint; " + form)
	}
	port, err := strconv.ParseUint(portText, 10, 16)
	if err != nil || port == 0 {
		return Remote{}, fmt.Errorf("has the port %q; allowed are 1 to 65535", portText)
	}
	if a, err := netip.ParseAddr(host); err == nil {
		if a.IsUnspecified() || a.IsMulticast() {
			return Remote{}, errors.New("cannot be dialed; " + form)
		}
	} else if !validHost(host) {
		return Remote{}, fmt.Errorf("has the host %q, which is neither an address nor a DNS name; %s", host, form)
	}
	return Remote{Host: host, Port: uint16(port)}, nil
}

// labelSyntax is that of what is between the dots of a DNS name, of maxLabel bytes at most (RFC 1035, section 2.3.4).
var labelSyntax = regexp.MustCompile(`^[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?$`)

const maxLabel = 63

// validHost reports whether s can be a DNS name of a host. A last label of
// digits is refused: it is a mistyped IPv4 address.
func validHost(s string) bool {
	s = strings.TrimSuffix(s, ".")
	if s == "" || len(s) > 253 {
		return false
	}
	labels := strings.Split(s, ".")
	for _, label := range labels {
		if len(label) > maxLabel || !labelSyntax.MatchString(label) {
			return false
		}
	}
	return strings.Trim(labels[len(labels)-1], "0123456789") != ""
}

// checkServerName checks a name for TLS to show (RFC 6066, section 3): a DNS name, no
// address, and no dot at its end.
func checkServerName(s string) error {
	_, err := netip.ParseAddr(s)
	switch {
	case err == nil:
		return errors.New("is an address; allowed is a DNS name, such as www.example.net")
	case !validHost(s) || strings.HasSuffix(s, ".") || strings.Contains(s, "_") || !strings.Contains(s, "."):
		return errors.New("is not a DNS name such as www.example.net")
	case strings.HasSuffix(strings.ToLower(s), ".warren"):
		return errors.New("cannot be used: names below .warren say which shared secret is meant")
	}
	return nil
}

// parseInterfaceAddress reads an address with the length of its subnet.
func parseInterfaceAddress(s string) (netip.Prefix, error) {
	p, err := netip.ParsePrefix(s)
	if err != nil {
		return p, errors.New("is not an address with a length, such as 10.0.0.1/31 or fe80::1/64")
	}
	return p, checkHost(p, p.Addr())
}

// checkHost checks that an interface in subnet can have the address.
func checkHost(subnet netip.Prefix, addr netip.Addr) error {
	switch {
	case addr.IsUnspecified() || addr.IsLoopback() || addr.IsMulticast() || addr.Is4In6():
		return errors.New("is not an address that an interface can have")
	case subnet.Bits() >= addr.BitLen()-1: // RFC 3021, RFC 6164
		return nil
	case addr == subnet.Masked().Addr():
		return fmt.Errorf("is the subnet itself: take an address in it, such as %v", addr.Next())
	case addr.Is4() && !subnet.Contains(addr.Next()):
		return fmt.Errorf("is the broadcast address of %v", subnet.Masked())
	}
	return nil
}

// parseDuration reads a duration within limits.
func parseDuration(s string, least, most time.Duration) (time.Duration, error) {
	d, err := time.ParseDuration(s)
	if err != nil {
		return 0, fmt.Errorf("is not a duration such as 1s or 500ms; allowed are %v to %v", least, most)
	}
	if d < least || d > most {
		return 0, fmt.Errorf("is out of range; allowed are %v to %v", least, most)
	}
	return d, nil
}
