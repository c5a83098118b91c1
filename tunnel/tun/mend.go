package tun

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// Mend puts right what another process has changed of the interface: its carrier, its
// persistence, and its owner. Only root can have done so, or a program with
// CAP_NET_ADMIN. Mend returns what it was, in words such as "carrier"; nothing if all was
// as it should be. It works in the calling thread's network namespace, and fails as
// [Device.Check] does.
func (d *Device) Mend() (changed []string, err error) {
	if !d.setting.TryLock() {
		return nil, nil // what is being set is what looked wrong; who calls serves others too
	}
	defer d.setting.Unlock()
	s, err := d.find()
	if err != nil {
		return nil, err
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

// ErrLost is wrapped by what [Device.Check] and [Device.Mend] return for an interface that
// exists, but not under its name in the namespace it was made in.
var ErrLost = errors.New("the interface was taken away")

// Check reports whether the interface is where it was made: in the calling thread's network
// namespace, under its name. Otherwise the error wraps [ErrLost], or unix.ENODEV if the
// interface is gone. Wherever it is, [Device.Close] removes it.
func (d *Device) Check() error {
	_, err := d.find()
	return err
}

// find looks at the interface that has the name, and makes sure that it is the one whose
// descriptors this process has: those follow it through any change of its name, index and
// namespace.
func (d *Device) find() (state, error) {
	var name string
	err := d.control("TUNGETIFF", func(fd int) (err error) {
		name, err = queueName(fd)
		return err
	})
	switch {
	case errors.Is(err, unix.EBADFD):
		return state{}, fmt.Errorf("tun: %s is gone: %w", d.name, unix.ENODEV)
	case err != nil:
		return state{}, err
	case name != d.name:
		return state{}, fmt.Errorf("%w: %s has got the name %s", ErrLost, d.name, name)
	}
	s, err := look(d.name)
	switch {
	case errors.Is(err, unix.ENODEV):
		return s, fmt.Errorf("%w: %s is in another network namespace", ErrLost, d.name)
	case err != nil:
		return s, fmt.Errorf("tun: %w", err)
	case s.index != d.index:
		return s, fmt.Errorf("%w: %s is another interface now", ErrLost, d.name)
	}
	return s, nil
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
