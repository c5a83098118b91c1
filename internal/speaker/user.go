package speaker

import (
	"errors"
	"os/user"
	"strconv"
)

// OwnUser is the user that the speaker's process becomes, where the system has one of that name.
const OwnUser = "warren"

// nobody is the user without rights of a system that names none.
const nobody = 65534

// HasOwnUser reports whether no other program runs as the user that the speaker's process becomes: as "nobody", which it is
// else, others may, and one user's programs can stop each other.
func HasOwnUser() bool {
	_, _, err := idsOf(OwnUser)
	return err == nil
}

// unprivileged is the user that the process becomes: OwnUser, else "nobody".
func unprivileged() (uid, gid int) {
	for _, name := range []string{OwnUser, "nobody"} {
		if uid, gid, err := idsOf(name); err == nil {
			return uid, gid
		}
	}
	return nobody, nobody
}

// idsOf returns the numbers of a user that is not root.
func idsOf(name string) (uid, gid int, err error) {
	u, err := user.Lookup(name)
	if err != nil {
		return 0, 0, err
	}
	uid, errU := strconv.Atoi(u.Uid)
	gid, errG := strconv.Atoi(u.Gid)
	if err := errors.Join(errU, errG); err != nil {
		return 0, 0, err
	}
	if uid <= 0 || gid <= 0 {
		return 0, 0, errors.New("has root's rights")
	}
	return uid, gid, nil
}
