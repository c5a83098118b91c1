package netns

import "testing"

func TestCheckName(t *testing.T) {
	for _, bad := range []string{"", ".", "..", "a/b", "a\x00b", string(make([]byte, 256))} {
		if checkName(bad) == nil {
			t.Errorf("checkName(%q) accepts it", bad)
		}
	}
	for _, good := range []string{"a", "site-a", "lab.1"} {
		if err := checkName(good); err != nil {
			t.Errorf("checkName(%q): %v", good, err)
		}
	}
}
