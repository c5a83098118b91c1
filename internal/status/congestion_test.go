package status

import (
	"strings"
	"testing"
)

// The congestion control in use is said where a tunnel has one.
func TestTableOfCongestion(t *testing.T) {
	s := example()
	s.Peers[0].Tunnels[0].Congestion = "bbr"
	var b strings.Builder
	if err := Table(&b, s); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(b.String(), "\n")
	for i, ending := range map[int]string{2: "ANNOUNCED  CONGESTION", 3: " bbr", 4: " -"} {
		if !strings.HasSuffix(lines[i], ending) {
			t.Errorf("%q: want %q at the end", lines[i], ending)
		}
	}
}
