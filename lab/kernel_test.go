//go:build lab && vm

package lab

import (
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// TestKernel runs the scenarios of vm/scenarios, which need modules of a distribution's kernel. `make vm`
// runs it under one.
func TestKernel(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                "vm/scenarios",
		RequireUniqueNames: true,
		Setup:              setup,
		Cmds:               commands,
		Condition:          holdsHere,
	})
}
