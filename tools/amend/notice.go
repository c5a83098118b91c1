package main

import (
	"maps"
	"slices"
	"strings"
)

// notice says which places are changed, as section 4(b) of GoBGP's license asks: each declaration once, by package.
func notice(changes []change) string {
	changed := map[string][]string{} // declarations by package
	for _, c := range changes {
		if !slices.Contains(changed[c.pkg], c.decl) {
			changed[c.pkg] = append(changed[c.pkg], c.decl)
		}
	}
	var out strings.Builder
	out.WriteString("The command warren has a GoBGP in which these declarations are changed; tools/amend/changes.go\n" +
		"in Warren's source says how, and why. The command gobgp has GoBGP as released.\n")
	for _, pkg := range slices.Sorted(maps.Keys(changed)) {
		slices.Sort(changed[pkg])
		out.WriteString("\n  github.com/osrg/gobgp/v4/" + pkg + "\n")
		for _, decl := range changed[pkg] {
			out.WriteString("    " + decl + "\n")
		}
	}
	return out.String()
}
