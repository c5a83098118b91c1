//go:build packages

package packaging

import (
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// TestVersionsAreSorted: what git calls a commit becomes a version that dpkg and rpm take, and sort as the commits follow one another.
func TestVersionsAreSorted(t *testing.T) {
	var versions []string
	for _, described := range []string{
		"1e5f00d1",                // before the first tag, a hash alone
		"v1.2.0-alpha",            // candidates
		"v1.2.0-rc.1",             //
		"v1.2.0-rc.1-3-g1234abcd", // three commits later
		"v1.2.0-rc.2-fix-1",
		"v1.2.0",
		"v1.2.0-14-g1234abcd",
		"v1.2.0-14-g1234abcd-dirty",
		"v1.2.1",
		"v1.10.0",
	} {
		cmd := exec.Command("make", "--no-print-directory", "-C", "..", "package-version", "VERSION="+described)
		cmd.Env = append(slices.DeleteFunc(os.Environ(), func(v string) bool {
			return strings.HasPrefix(v, "MAKE") || strings.HasPrefix(v, "MFLAGS") || strings.HasPrefix(v, "VERSION=")
		}), "SOURCE_DATE_EPOCH=1790000000")
		cmd.Stderr = os.Stderr
		out, err := cmd.Output()
		if err != nil {
			t.Fatal(err)
		}
		versions = append(versions, strings.TrimSpace(string(out)))
	}
	for i, later := range versions {
		if strings.Contains(later, "-") || later == "" {
			t.Errorf("%s is no version for rpm", later)
		}
		if i == 0 {
			continue
		}
		before := versions[i-1]
		if err := exec.Command("dpkg", "--compare-versions", before+"-1", "lt", later+"-1").Run(); err != nil {
			t.Errorf("for dpkg %s does not come after %s: %v", later, before, err)
		}
		if says := command(t, "rpm", "--eval", "%{lua: print(rpm.vercmp('"+before+"', '"+later+"'))}"); strings.TrimSpace(says) != "-1" {
			t.Errorf("for rpm %s does not come after %s: %s", later, before, says)
		}
	}
}
