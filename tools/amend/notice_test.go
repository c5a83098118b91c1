package main

import (
	"os"
	"strings"
	"testing"
)

func TestNotice(t *testing.T) {
	got := notice([]change{{pkg: "q/r", decl: "z"}, {pkg: "p", decl: "b.c"}, {pkg: "q/r", decl: "a"}, {pkg: "q/r", decl: "z"}})
	const want = "\n\n  github.com/osrg/gobgp/v4/p\n    b.c\n\n  github.com/osrg/gobgp/v4/q/r\n    a\n    z\n"
	if !strings.HasSuffix(got, want) {
		t.Errorf("it is\n%s\nand is to end with%s", got, want)
	}
}

// What is handed out with the programs tells of every change that is made, and of no other.
func TestLicensesTellWhatIsChanged(t *testing.T) {
	told, err := os.ReadFile("../../THIRD-PARTY-LICENSES")
	if err != nil {
		t.Fatal(err)
	}
	head, _, _ := strings.Cut(string(told), "\n====")
	for _, c := range changes {
		if !strings.Contains(head, "    "+c.decl+"\n") {
			t.Errorf("%s is not told; run make licenses", c)
		}
	}
	if !strings.HasSuffix(head, notice(changes)) {
		t.Errorf("it tells\n%s\nand is to tell\n%s", head, notice(changes))
	}
}
