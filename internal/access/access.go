// Package access tells whether others than root and the user of this process can change a
// file or a directory. It depends on nothing of Warren's.
//
// Its errors complete a sentence that begins with the path, and say what to do.
package access

import (
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// File checks a file that is trusted, by what Stat or Fstat said of it: it belongs to root or
// to the user of this process, and nobody else may write to it. Like sshd, it does not
// look at which group may. What is mounted read-only, as configurations in a container often
// are with every bit set, nobody can write to.
func File(path string, info fs.FileInfo) error {
	if err := Owner(path, info); err != nil {
		return err
	}
	if mode := info.Mode().Perm(); mode&0o022 != 0 && !readOnly(path) {
		return fmt.Errorf("others than its owner can change it (mode %04o); run: chmod go-w %s", mode, path)
	}
	return nil
}

// Dir checks a directory in the same way: a user that can write to it can replace what is in it. A
// sticky one, such as /tmp, passes: there only the owner of a file can replace it.
func Dir(path string, info fs.FileInfo) error {
	if info.Mode()&fs.ModeSticky != 0 {
		return Owner(path, info)
	}
	return File(path, info)
}

func readOnly(path string) bool {
	var fs unix.Statfs_t
	return unix.Statfs(path, &fs) == nil && fs.Flags&unix.ST_RDONLY != 0
}

// Owner checks that a file or a directory belongs to root or to the user of this process.
func Owner(path string, info fs.FileInfo) error {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok || Trusted(st.Uid) {
		return nil
	}
	euid := os.Geteuid()
	return fmt.Errorf("belongs to user %d; it must belong to root or to user %d, who runs this; run: chown %d %s",
		st.Uid, euid, euid, path)
}

// Trusted reports whether a user is root or the user of this process. In a user namespace
// root is also the number that stands for all users of outside: the machine's root among
// them, to whom /tmp belongs.
func Trusted(uid uint32) bool {
	return uid == 0 || int(uid) == os.Geteuid() || int64(uid) == outside()
}

// TrustedUsers lists the users that Trusted is true for.
func TrustedUsers() []uint32 {
	users := []uint32{0, uint32(os.Geteuid())}
	if out := outside(); out >= 0 {
		users = append(users, uint32(out))
	}
	return users
}

// outside is the number of users that this user namespace does not know, or -1 if it knows
// all of them.
var outside = sync.OnceValue(func() int64 {
	m, err := os.ReadFile("/proc/self/uid_map")
	if err != nil {
		return -1
	}
	if f := strings.Fields(string(m)); len(f) == 3 && f[0] == "0" && f[1] == "0" {
		return -1 // the machine's own, or one with its root
	}
	text, err := os.ReadFile("/proc/sys/kernel/overflowuid")
	if err != nil {
		return -1
	}
	uid, err := strconv.ParseUint(strings.TrimSpace(string(text)), 10, 32)
	if err != nil {
		return -1
	}
	return int64(uid)
})
