package agent

import (
	"io/fs"
	"strings"
	"testing"
)

// Who starts the daemon without the rights that it needs is told which these are.
func TestRightsThatAreMissing(t *testing.T) {
	denied := &fs.PathError{Op: "mkdir", Path: "/run/warren", Err: fs.ErrPermission}
	if got := withRights(denied, 1000); !strings.HasPrefix(got.Error(), "mkdir /run/warren: permission denied: run it as root; or with CAP_NET_ADMIN, ") {
		t.Error(got)
	}
	if got := withRights(denied, 0); got.Error() != denied.Error() {
		t.Error(got)
	}
	if got := withRights(fs.ErrExist, 1000); got.Error() != fs.ErrExist.Error() {
		t.Error(got)
	}
}
