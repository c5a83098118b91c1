package speaker

import (
	"os/user"
	"strconv"
)

// nobody is the user without rights of a system that names none.
const nobody = 65534

// unprivileged is the user that the process becomes: "warren" where there is such a user, else "nobody".
func unprivileged() (uid, gid int) {
	for _, name := range []string{"warren", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, errU := strconv.Atoi(u.Uid)
		gid, errG := strconv.Atoi(u.Gid)
		if errU == nil && errG == nil && uid > 0 && gid > 0 {
			return uid, gid
		}
	}
	return nobody, nobody
}
