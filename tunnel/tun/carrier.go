package tun

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// The kernel acts on a new carrier later, in a worker that waits for the lock of all
// network configuration (net/core/link_watch.c), and drops all that is sent until then. A
// tenth of a second passes on a busy machine, and sendingTimeout bounds how long a tunnel
// waits for it. Tests wait longer: others on the machine may have the lock for a while.
var sendingTimeout = time.Second

// SetCarrier tells the kernel whether there is anyone at the far end. Without a
// carrier the interface's routes are marked linkdown, and it sends nothing. With one it
// sends when SetCarrier returns, unless it is not up, or the kernel takes longer than a
// second, which is an error.
func (d *Device) SetCarrier(up bool) error {
	d.setting.Lock()
	d.carrier = up
	err := d.setCarrier()
	d.setting.Unlock()
	if err != nil || !up {
		return err
	}
	return d.waitSending()
}

// setCarrier sets it as d.carrier says. setting is held.
func (d *Device) setCarrier() error {
	carrier := 0
	if d.carrier {
		carrier = 1
	}
	return d.control("TUNSETCARRIER", func(fd int) error {
		return unix.IoctlSetPointerInt(fd, unix.TUNSETCARRIER, carrier)
	})
}

// waitSending waits until the kernel has seen the carrier.
func (d *Device) waitSending() error {
	for deadline := time.Now().Add(sendingTimeout); ; time.Sleep(time.Millisecond / 2) {
		var flags uint16
		err := d.control("SIOCGIFFLAGS", func(int) (err error) {
			flags, err = d.flags()
			return err
		})
		switch {
		case err != nil:
			return err
		case flags&unix.IFF_UP == 0:
			return nil
		case flags&unix.IFF_RUNNING != 0:
			// The worker sets the flag just before the queue, under the lock that this
			// call waits for.
			return d.control("TUNGETIFF", func(fd int) error {
				_, err := queueFlags(fd)
				return err
			})
		case time.Now().After(deadline):
			return fmt.Errorf("tun: %s has a carrier, but sends nothing after %v", d.name, sendingTimeout)
		}
	}
}

// flags returns the interface's, as netdevice(7) has them.
func (d *Device) flags() (uint16, error) {
	req, err := unix.NewIfreq(d.name)
	if err != nil {
		return 0, err
	}
	err = unix.IoctlIfreq(d.inet, unix.SIOCGIFFLAGS, req)
	return req.Uint16(), err
}
