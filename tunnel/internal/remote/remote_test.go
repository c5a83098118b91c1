package remote

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"testing"
)

func TestCheck(t *testing.T) {
	if err := Check([]string{"host:1", "192.0.2.1:https", "[2001:db8::1]:443"}); err != nil {
		t.Error(err)
	}
	for _, r := range []string{"", "host", ":1", "host:", "2001:db8::1:443", "a:b:c"} {
		if Check([]string{"host:1", r}) == nil {
			t.Errorf("%q is accepted", r)
		}
	}
}

func TestLookup(t *testing.T) {
	for _, v := range []struct{ network, remote, want string }{
		{"tcp", "192.0.2.1:443", "192.0.2.1:443"},
		{"udp", "[2001:db8::1]:domain", "[2001:db8::1]:53"},
		{"tcp", "[::ffff:192.0.2.1]:1", "192.0.2.1:1"},
		{"udp", "[fe80::1%lo]:1", "[fe80::1%lo]:1"},
	} {
		got, err := Lookup(t.Context(), v.network, v.remote)
		if err != nil || !slices.Equal(got, []netip.AddrPort{netip.MustParseAddrPort(v.want)}) {
			t.Errorf("%s: %v, %v", v.remote, got, err)
		}
	}
	for _, remote := range []string{"host", "192.0.2.1:65536", "192.0.2.1:no-such-service"} {
		if got, err := Lookup(t.Context(), "tcp", remote); err == nil {
			t.Errorf("%s: %v", remote, got)
		}
	}
}

func TestErrorsAreForOperators(t *testing.T) {
	other := errors.New("other")
	for _, v := range []struct {
		err  error
		want string
	}{
		{fmt.Errorf("wrapped: %w", &net.DNSError{IsNotFound: true}), "r: no such name in the DNS"},
		{&net.DNSError{IsTimeout: true}, "r: the DNS does not answer"},
		{context.DeadlineExceeded, "r: the DNS does not answer"},
		{other, "r: other"},
	} {
		if got := explain("r", v.err); got.Error() != v.want {
			t.Errorf("%v, want %q", got, v.want)
		}
	}
	one := errors.New("one")
	for _, errs := range [][]error{{other, one}, {one, other, one}} { // as a name server turns them
		if got := OneLine(errs).Error(); got != "one; other" {
			t.Error(got)
		}
	}
	var many []error
	for i := range 100 {
		many = append(many, fmt.Errorf("error %d", i))
	}
	if got := OneLine(many).Error(); len(got) > 40 {
		t.Error(got)
	}
	if OneLine(nil) == nil {
		t.Error("no addresses is no error")
	}
}

func TestReachable(t *testing.T) {
	v4, v6 := netip.MustParseAddrPort("192.0.2.1:443"), netip.MustParseAddrPort("[2001:db8::1]:443")
	if got := preferIPv4([]netip.AddrPort{v6, v4, v6}); !slices.Equal(got, []netip.AddrPort{v4}) {
		t.Errorf("without IPv6: %v", got)
	}
	if got := preferIPv4([]netip.AddrPort{v6}); !slices.Equal(got, []netip.AddrPort{v6}) {
		t.Errorf("without IPv6, and with nothing else: %v", got)
	}
	if got := Reachable([]netip.AddrPort{v6, v4}); len(got) == 0 || !slices.Contains(got, v4) {
		t.Errorf("here: %v", got)
	}
}
