package judge

import (
	"os"
	"strings"
	"testing"
)

// TestExamples has UPDATEs, whole or by their parts, that made GoBGP (v4.8.0)
// end the process, the sessions of other peers or its own, or lose a route.
func TestExamples(t *testing.T) {
	const before = attrsBefore
	new60, new61 := setup{plain: true}, setup{plain: true}
	runCases(t, []ruleCase{
		{rule: "NEXT_HOP beside MP_REACH_NLRI: became a NEXT_HOP of 16 octets", setup: new60, attrs: before + "4003040a090102" + "800e1c00020110" + hop6 + "00" + "3020010db8aaaa", want: "+2001:db8:aaaa::/48 via 2001:db8::1", counts: oneFixed, last: "NEXT_HOP ignored beside MP_REACH_NLRI (RFC 4760 section 3)"},
		{rule: "attribute longer than the rest: the old route stayed", attrs: before + "4003040a090102" + "c008c801020304", nlri: v4, want: gone4, counts: oneGone, last: "10.60.0.0/24 treated as withdrawn: an attribute goes past the end"},
		{rule: "withdrawn and announced: the route was lost", setup: new61, withdrawn: "180a3d00", attrs: usual, nlri: "180a3d00", want: "+10.61.0.0/24", counts: oneFixed, last: "10.61.0.0/24: withdrawn and announced"},
		{rule: "AS4_AGGREGATOR alone: the session ended", attrs: before + "4003040a090102" + "c01208" + "0000fc9a0a090102", nlri: v4, want: taken4, counts: oneLess, last: "AS4_AGGREGATOR discarded"},
	})
	for _, c := range []struct {
		file  string
		setup setup
		want  string // what is handed on
		last  string
	}{
		{"update-longpath-2byte-as.hex", setup{two: true, plain: true}, "", "and no more than 4009 fit into a message"},
		// An unknown attribute fills it.
		{"update-4096-to-ibgp.hex", setup{plain: true}, "+10.0.0.0/8", "attribute 99 discarded: it is not known here"},
	} {
		b, err := os.ReadFile("testdata/" + c.file)
		if err != nil {
			t.Fatal(err)
		}
		s := c.setup.establish(t)
		out, err := s.FromPeer(nil, unhex(strings.TrimSpace(string(b))))
		if err != nil {
			t.Fatalf("%s: %v", c.file, err)
		}
		got := strings.Join(c.setup.reader().readAll(t, withoutKeepalives(t, out)), ";")
		if last := s.Counts().Last; got != c.want || !strings.Contains(last, c.last) {
			t.Errorf("%s: %q handed on, last is %q; want %q, %q", c.file, got, last, c.want, c.last)
		}
	}
}

const attrsBefore = "40010100" + "40020602010000fc9a"
