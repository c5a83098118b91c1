package judge

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"testing"
)

// ended returns the NOTIFICATION of err as "code/subcode data".
func ended(err error) string {
	var n *Notification
	if !errors.As(err, &n) {
		return ""
	}
	return fmt.Sprintf("%d/%d %x", n.Code, n.Subcode, n.Data)
}

// TestFraming has what RFC 4271 section 6.1 says of headers.
func TestFraming(t *testing.T) {
	const marker = "ffffffffffffffffffffffffffffffff"
	for _, c := range []struct{ name, in, want string }{
		{"marker", "ffffffffffffffffffffffffffffff7f" + "0013" + "04", "1/1 "},
		{"not BGP", hex.EncodeToString([]byte("GET / HTTP/1.1\r\nHost: x")), "1/1 "},
		{"length 18", marker + "0012" + "04", "1/2 0012"},
		{"length 0", marker + "0000" + "02", "1/2 0000"},
		{"length 4097", marker + "1001" + "02", "1/2 1001"},
		{"length 65535", marker + "ffff" + "03", "1/2 ffff"},
		{"type 0", marker + "0013" + "00", "1/3 00"},
		{"type 6", marker + "0013" + "06", "1/3 06"},
		{"type 255, wrong length", marker + "0001" + "ff", "1/2 0001"},
		{"KEEPALIVE of length 20", marker + "0014" + "04", "1/2 0014"},
		{"UPDATE of length 22", marker + "0016" + "02", "1/2 0016"},
		{"OPEN of length 28", marker + "001c" + "01", "1/2 001c"},
		{"NOTIFICATION of length 20", marker + "0014" + "03", "1/2 0014"},
		{"UPDATE whose Withdrawn Routes are too long (4271 6.3)", marker + "0017" + "02" + "00010000", "3/1 "},
		{"UPDATE whose attributes are too long (4271 6.3)", marker + "0017" + "02" + "00000001", "3/1 "},
		{"UPDATE whose length of attributes is cut off", marker + "0018" + "02" + "000201" + "0000", "3/1 "},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := setup{}.establish(t)
			keepalive := frame(typeKeepalive, nil)
			out, err := s.FromPeer([]byte{1}, append(bytes.Clone(keepalive), unhex(c.in)...))
			if ended(err) != c.want || !bytes.Equal(out, append([]byte{1}, keepalive...)) {
				t.Errorf("%q, %x, want %q after a KEEPALIVE", ended(err), out, c.want)
			}
			out, again := s.FromPeer(nil, keepalive)
			if !errors.Is(again, err) || len(out) != 0 {
				t.Errorf("then %x, %v", out, again)
			}
			if _, again = s.SetPolicy(nil, Policy{}, nil); !errors.Is(again, err) {
				t.Errorf("SetPolicy then says %v", again)
			}
			if out := s.ToPeer(nil, keepalive); len(out) != 0 {
				t.Errorf("%x goes out after the NOTIFICATION", out)
			}
		})
	}
}

// TestStates has which message may come when (RFC 4271 section 8.2.2, RFC 6608).
func TestStates(t *testing.T) {
	ours, peers := setup{}.opens()
	open, keepalive := appendOpen(nil, &peers), frame(typeKeepalive, nil)
	up, refresh := updateMessage(nil, nil, nil), frame(typeRefresh, []byte{0, 1, 0, 1})
	notification := frame(typeNotification, []byte{6, 2})
	for _, c := range []struct {
		name string
		in   [][]byte
		mute bool // this end's OPEN is not out yet
		want string
	}{
		{"as it should be", [][]byte{open, keepalive, up, keepalive, refresh, notification}, false, ""},
		{"KEEPALIVE first", [][]byte{keepalive}, false, "5/1 04"},
		{"UPDATE first", [][]byte{up}, false, "5/1 02"},
		{"ROUTE-REFRESH first", [][]byte{refresh}, false, "5/1 05"},
		{"NOTIFICATION first", [][]byte{notification}, false, ""},
		{"two OPENs", [][]byte{open, open}, false, "5/2 01"},
		{"UPDATE before KEEPALIVE", [][]byte{open, up}, false, "5/2 02"},
		{"ROUTE-REFRESH before KEEPALIVE", [][]byte{open, refresh}, false, "5/2 05"},
		{"OPEN when established", [][]byte{open, keepalive, open}, false, "5/3 01"},
		{"before this end's OPEN", [][]byte{open, keepalive}, true, ""},
		{"UPDATE before this end's OPEN", [][]byte{open, keepalive, up}, true, "5/2 02"},
		{"anything after a NOTIFICATION", [][]byte{open, notification, up, {1, 2, 3}, open}, false, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := New(setup{}.config())
			if !c.mute {
				s.ToPeer(nil, appendOpen(nil, &ours))
			}
			var out []byte
			var err error
			for _, m := range c.in {
				if out, err = s.FromPeer(out, m); err != nil {
					break
				}
			}
			if ended(err) != c.want {
				t.Errorf("%q, want %q", ended(err), c.want)
			}
			n := len(messages(t, out))
			if want := len(c.in) - 1; c.want != "" && n != want {
				t.Errorf("%d messages are handed on, not %d", n, want)
			}
		})
	}
}

// TestNotification has NOTIFICATIONs of the peer: all of them are handed on, and
// none is answered (RFC 4271 section 6.4).
func TestNotification(t *testing.T) {
	for _, body := range []string{"0000", "0602", "06020a68656c6c6f", "0602ff", "ffff", "0101" + strings.Repeat("00", 4096-21)} {
		s := setup{}.establish(t)
		msg := frame(typeNotification, unhex(body))
		out, err := s.FromPeer(nil, append(msg, frame(typeOpen, make([]byte, 30))...))
		if err != nil || !bytes.Equal(out, msg) {
			t.Errorf("%s: %x, %v", body, out, err)
		}
		setup{}.reader().readAll(t, out)
		if out := s.ToPeer(nil, frame(typeNotification, []byte{5, 1})); len(out) != 0 {
			t.Errorf("%s: answered with %x", body, out)
		}
		if out, err := s.SetPolicy(nil, Policy{}, nil); err != nil || len(out) != 0 {
			t.Errorf("%s: another policy then hands on %x, %v", body, out, err)
		}
	}
}

// TestKeepalive: a message that leaves nothing shows that the peer lives all the
// same, once for each call.
func TestKeepalive(t *testing.T) {
	s := setup{plain: true, policy: &Policy{}}.establish(t)
	filtered := updateMessage(nil, unhex(usual), unhex(v4))
	for _, c := range []struct {
		in   []byte
		want string
	}{
		{filtered, "KEEPALIVE"},
		{bytes.Repeat(filtered, 3), "KEEPALIVE"},
		{filtered[:30], ""},
		{filtered[30:], "KEEPALIVE"},
		{nil, ""},
		{append(bytes.Clone(filtered), updateMessage(nil, nil, nil)...), "end IPv4"},
	} {
		out, err := s.FromPeer(nil, c.in)
		if got := strings.Join(setup{}.reader().readAll(t, out), ";"); got != c.want || err != nil {
			t.Errorf("%x: %q, %v, want %q", c.in, got, err, c.want)
		}
	}
}

// TestChunks: how a stream is cut makes no difference.
func TestChunks(t *testing.T) {
	ours, peers := setup{}.opens()
	stream := append(appendOpen(nil, &peers), frame(typeKeepalive, nil)...)
	for range 20 {
		stream = append(stream, updateMessage(nil, unhex(usual), unhex(v4))...)
		stream = append(stream, updateMessage(unhex(v4), unhex(usual6), nil)...)
	}
	var whole []byte
	for _, size := range []int{1 << 20, 1, 2, 18, 19, 20, 45, 4096} {
		s := New(setup{}.config())
		s.ToPeer(nil, appendOpen(nil, &ours))
		var out []byte
		for in := stream; len(in) > 0; {
			n := min(size, len(in))
			var err error
			if out, err = s.FromPeer(out, in[:n]); err != nil {
				t.Fatal(err)
			}
			in = in[n:]
		}
		if out = withoutKeepalives(t, out); whole == nil {
			whole = out
		}
		if !bytes.Equal(out, whole) || len(out) == 0 {
			t.Errorf("in chunks of %d: %x, want %x", size, out, whole)
		}
	}
}

// withoutKeepalives takes KEEPALIVEs out of a stream of whole messages.
func withoutKeepalives(t testing.TB, b []byte) (rest []byte) {
	for _, m := range messages(t, b) {
		if m[headerLen-1] != typeKeepalive {
			rest = append(rest, m...)
		}
	}
	return rest
}
