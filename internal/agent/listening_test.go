package agent

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"warren/internal/status"
	"warren/tunnel/tlslink"
)

// Each address that cannot be listened on is named, with what to do. [::] beside an IPv4 address that works is a hint where the kernel
// has no IPv6, and no failure of status --check.
func TestListenErrorsSayWhatToDo(t *testing.T) {
	const prefix = "peers cannot connect over TLS to an address of tls.listen: "
	v4, v6, one6 := netip.MustParseAddrPort("0.0.0.0:443"), netip.MustParseAddrPort("[::]:443"), netip.MustParseAddrPort("[2001:db8::1]:443")
	fails := func(a netip.AddrPort, err error) error { return &tlslink.ListenError{Addr: a, Err: err} }
	call := func(errno unix.Errno) error {
		return &net.OpError{Op: "listen", Net: "tcp", Err: os.NewSyscallError("bind", errno)}
	}
	noIPv6Hint := status.Hint{Text: "this kernel has no IPv6, so that no peer can connect to [::]:443: leave it out of tls.listen, " +
		"or turn IPv6 on (ipv6.disable on the kernel's command line)"}
	for name, c := range map[string]struct {
		err   error
		want  string
		hints []status.Hint
	}{
		"all well": {nil, "", nil},
		"taken": {errors.Join(fails(v4, call(unix.EADDRINUSE))),
			"0.0.0.0:443: address already in use; another program has the port (`ss -ltnp` shows which): stop it, or take another port", nil},
		"not allowed": {fails(v4, call(unix.EACCES)), "0.0.0.0:443: permission denied; ports below net.ipv4.ip_unprivileged_port_start (1024) " +
			"take CAP_NET_BIND_SERVICE, which the unit of configs/warren.service gives: give it, or take a higher port", nil},
		"not here": {errors.Join(fails(one6, call(unix.EADDRNOTAVAIL))),
			"[2001:db8::1]:443: cannot assign requested address; no interface of this host has the address: it is tried again, or set one that is here", nil},
		"no IPv6, and IPv4 works": {errors.Join(fails(v6, tlslink.ErrNoIPv6)), "", []status.Hint{noIPv6Hint}},
		"an address of a family that there is not": {errors.Join(fails(one6, tlslink.ErrNoIPv6)),
			"[2001:db8::1]:443: this kernel has no IPv6; leave [2001:db8::1]:443 out, or turn IPv6 on (ipv6.disable on the kernel's command line)", nil},
		"no IPv6, and IPv4 does not work": {errors.Join(fails(v4, call(unix.EADDRINUSE)), fails(v6, tlslink.ErrNoIPv6)),
			"0.0.0.0:443: address already in use; another program has the port (`ss -ltnp` shows which): stop it, or take another port; " +
				"[::]:443: this kernel has no IPv6; leave [::]:443 out, or turn IPv6 on (ipv6.disable on the kernel's command line)", nil},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := router(peerConfig("b", 0))
			cfg.TLS.Listen = []netip.AddrPort{v4, v6, one6}
			w := newWorldWith(t, cfg, func(w *world) { w.listenErr = c.err })
			got := w.status().Router.Conditions
			if c.want == "" && len(got) > 0 || c.want != "" && (len(got) != 1 || got[0].Text != prefix+c.want) {
				t.Errorf("%+v, want %q", got, c.want)
			}
			w.hinted(t, time.Now(), c.hints...)
		})
	}
}

// Addresses are told apart also where the same is wrong with them: each that is new is news.
func TestListenErrorsAreCauses(t *testing.T) {
	var all listenErrors
	for _, a := range []string{"192.0.2.1:443", "192.0.2.2:443"} {
		all = append(all, explainListen(&tlslink.ListenError{Addr: netip.MustParseAddrPort(a), Err: unix.EADDRNOTAVAIL}))
	}
	if got := causesOf(all); len(got) != 2 || !strings.HasPrefix(got[1], "192.0.2.2:443: ") {
		t.Errorf("%q", got)
	}
}
