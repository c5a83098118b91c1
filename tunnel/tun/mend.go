package tun

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// Mend puts right what another process has changed of the interface: its carrier, its
// persistence, and its owner. Only root can have done so, or a program with
// CAP_NET_ADMIN. Mend returns what it was, in words such as "carrier"; nothing if all was
// as it should be. It works in the calling thread's network namespace.
func (d *Device) Mend() (changed []string, err error) {
	d.setting.Lock()
	defer d.setting.Unlock()
	s, err := look(d.name)
	if err != nil {
		return nil, fmt.Errorf("tun: %w", err)
	}
	if s.index != d.index {
		return nil, fmt.Errorf("tun: %s is another interface now: %w", d.name, unix.ENODEV)
	}
	uid, gid := owner()
	for _, m := range []struct {
		what  string
		wrong bool
		mend  func() error
	}{
		{"owner", s.uid != uid || s.gid != gid, d.setOwner},
		{"persistence", s.persist, func() error { return d.control("mend", endPersistence) }},
		{"carrier", s.carrier != d.carrier, d.setCarrier},
	} {
		if !m.wrong {
			continue
		}
		if err := m.mend(); err != nil {
			return changed, err
		}
		changed = append(changed, m.what)
	}
	return changed, nil
}

func (d *Device) setOwner() error {
	uid, gid := owner()
	return d.control("set the owner", func(fd int) error {
		if err := unix.IoctlSetInt(fd, unix.TUNSETOWNER, int(uid)); err != nil {
			return fmt.Errorf("TUNSETOWNER: %w", err)
		}
		if err := unix.IoctlSetInt(fd, unix.TUNSETGROUP, int(gid)); err != nil {
			return fmt.Errorf("TUNSETGROUP: %w", err)
		}
		return nil
	})
}
