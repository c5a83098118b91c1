package judge

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
)

// A ruleCase is one UPDATE in a session in which 10.60.0.0/24 and
// 2001:db8:60::/48 are announced already, with a MULTI_EXIT_DISC of 7.
type ruleCase struct {
	rule                   string // with the RFC's section
	setup                  setup
	withdrawn, attrs, nlri string // in hex
	want                   string // lines of reader.read, with ";" between them; "" is nothing
	counts                 string // "repaired withdrawn discarded"; "" is "0 0 0"
	last                   string // part of Counts.Last
	ends                   string // "code/subcode" of the NOTIFICATION
}

// Outcomes that many cases share.
const (
	taken4   = "+10.60.0.0/24"
	taken6   = "+2001:db8:60::/48 via 2001:db8::1"
	gone4    = "-10.60.0.0/24"
	gone6    = "-2001:db8:60::/48"
	oneGone  = "0 1 0" // Withdrawn
	oneLess  = "1 0 1" // Discarded, and so repaired
	oneFixed = "1 0 0" // Repaired
	useless  = "0 0 1" // Discarded, without anything being wrong
)

func (c *ruleCase) run(t *testing.T) {
	s := c.setup.establish(t)
	r := c.setup.reader()
	r.routes = known(c.setup)
	out, err := s.FromPeer(nil, updateMessage(unhex(c.withdrawn), unhex(c.attrs), unhex(c.nlri)))
	ends := ""
	if err != nil {
		n := checkNotification(t, err)
		ends = fmt.Sprintf("%d/%d", n.Code, n.Subcode)
		if !strings.Contains(n.Text, c.last) {
			t.Errorf("the NOTIFICATION says %q, not %q", n.Text, c.last)
		}
	}
	lines := r.readAll(t, out)
	lines = slices.DeleteFunc(lines, func(l string) bool { return l == "KEEPALIVE" })
	counts := s.Counts()
	got := fmt.Sprintf("%d %d %d", counts.Repaired, counts.Withdrawn, counts.Discarded)
	if c.counts == "" && ends == "" {
		c.counts = "0 0 0"
	}
	if want := c.want; strings.Join(lines, ";") != want || ends != c.ends || (ends == "" && got != c.counts) {
		t.Errorf("%s:\ngot  %q %s ends %q\nwant %q %s ends %q\nlast: %s; %v", c.rule, strings.Join(lines, ";"), got, ends, want, c.counts, c.ends, counts.Last, err)
	}
	if ends == "" && (!strings.Contains(counts.Last, c.last) || (c.last == "") != (counts.Last == "")) {
		t.Errorf("%s: last is %q, want %q in it", c.rule, counts.Last, c.last)
	}
	if ends == "" {
		checkCounts(t, s, r)
	}
}

// checkNotification checks that err is one that can be sent.
func checkNotification(t testing.TB, err error) *Notification {
	t.Helper()
	var n *Notification
	if !errors.As(err, &n) {
		t.Fatalf("not a NOTIFICATION: %v", err)
	}
	if b := n.Bytes(); checkHeader(b) != nil || len(b) != messageLen(b) || n.Text == "" || n.Text != printable(n.Text) {
		t.Fatalf("bad NOTIFICATION %x %q", b, n.Text)
	}
	return n
}

// known is what a reader has of a session that was just established.
func known(u setup) map[netip.Prefix]string {
	routes := map[netip.Prefix]string{}
	if !u.plain && !u.noIPv4 {
		routes[netip.MustParsePrefix("10.60.0.0/24")] = "+ 4=00000007"
	}
	if !u.plain && !u.noIPv6 {
		routes[netip.MustParsePrefix("2001:db8:60::/48")] = "+ via 2001:db8::1 4=00000007"
	}
	return routes
}

func runCases(t *testing.T, cases []ruleCase) {
	for _, c := range cases {
		t.Run(c.rule, c.run)
	}
}
