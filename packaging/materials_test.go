//go:build packages

package packaging

import (
	"debug/buildinfo"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The bills of materials name what Go says is linked in, and GoBGP by its own name; the licenses that come with it
// name it too, on each architecture.
func TestBillOfMaterials(t *testing.T) {
	for _, p := range every(t) {
		root := p.unpacked(t)
		licenses, err := os.ReadFile(filepath.Join(root, "usr/share/doc/warren/THIRD-PARTY-LICENSES"))
		if err != nil {
			t.Fatal(err)
		}
		for bill, binary := range map[string]string{"warren": warren, "gobgp": gobgp} {
			data, err := os.ReadFile(filepath.Join(root, "usr/share/doc/warren/sbom", bill+".cdx.json"))
			if err != nil {
				t.Fatal(err)
			}
			var b struct {
				Format     string `json:"bomFormat"`
				Components []struct{ Name, Version, Purl string }
			}
			if err := json.Unmarshal(data, &b); err != nil || b.Format != "CycloneDX" {
				t.Fatalf("%s: %s: %v, %q", p, bill, err, b.Format)
			}
			has := map[string]string{}
			for _, c := range b.Components {
				has[c.Name] = c.Version
				if !strings.HasPrefix(c.Purl, "pkg:golang/"+c.Name+"@"+c.Version) {
					t.Errorf("%s: %s: %+v", p, bill, c)
				}
			}
			info, err := buildinfo.ReadFile(filepath.Join(root, binary))
			if err != nil {
				t.Fatal(err)
			}
			for _, dep := range info.Deps {
				if has[dep.Path] != dep.Version {
					t.Errorf("%s: %s: %s %s is linked, and the bill has %q", p, bill, dep.Path, dep.Version, has[dep.Path])
				}
				if !strings.Contains(string(licenses), "\n"+dep.Path+" "+dep.Version+"\n") {
					t.Errorf("%s: %s: %s %s is linked, and its license is not there", p, bill, dep.Path, dep.Version)
				}
			}
			if has["std"] != strings.Split(info.GoVersion, " ")[0] || len(info.Deps) < 10 {
				t.Errorf("%s: %s: the standard library is %q, built with %s, %d dependencies", p, bill, has["std"], info.GoVersion, len(info.Deps))
			}
		}
	}
}
