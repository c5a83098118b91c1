package tun

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// Bounds of [Config].
const (
	MinMTU    = 1280  // below this the kernel takes IPv6 off the interface (RFC 8200)
	MaxMTU    = 65521 // so that a packet with any header a transport adds fits 16 bits
	MaxQueues = 16
)

// Config says what interface to make.
type Config struct {
	Name   string // 1 to 15 bytes
	MTU    int    // bytes, MinMTU to MaxMTU
	Queues int    // 1 to MaxQueues; packets of one flow are always in the same queue
	Logger *slog.Logger
	// Refuse reports whether a packet that the kernel sends is to be dropped rather than
	// read; nil refuses none. It is called for each frame, from the goroutines that read
	// the queues, and keeps nothing of the packet.
	Refuse func(packet []byte) bool

	plain bool // as on a kernel without IFF_VNET_HDR; for tests
}

const devicePath = "/dev/net/tun"

func (c *Config) check() error {
	if c.Name == "" || len(c.Name) >= unix.IFNAMSIZ || c.Name == "." || c.Name == ".." || strings.ContainsAny(c.Name, "/:% \t\n") {
		return fmt.Errorf("tun: %q: an interface name has 1 to %d bytes and none of / : %% or space", c.Name, unix.IFNAMSIZ-1)
	}
	if c.MTU < MinMTU || c.MTU > MaxMTU {
		return fmt.Errorf("tun: %s: MTU %d: allowed are %d to %d", c.Name, c.MTU, MinMTU, MaxMTU)
	}
	if c.Queues < 1 || c.Queues > MaxQueues {
		return fmt.Errorf("tun: %s: %d queues: allowed are 1 to %d", c.Name, c.Queues, MaxQueues)
	}
	return nil
}

// Open makes the interface in the network namespace of the calling thread, with
// no carrier and not up. An interface of this name that a crash left behind is
// replaced; one that is in use, or is no TUN, is an error and stays as it is.
// The interface goes when the Device is closed or the process ends. It belongs to the user and
// the group of this process: other users can't attach to it.
func Open(c Config) (_ *Device, err error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	flags := uint16(unix.IFF_TUN | unix.IFF_NO_PI)
	if c.Queues > 1 {
		flags |= unix.IFF_MULTI_QUEUE
	}
	if err := clearName(c.Name, flags, c.Logger); err != nil {
		return nil, err
	}
	if err := makeOwned(c.Name, c.Queues, c.Logger); err != nil {
		return nil, err
	}
	fd, vnet, err := attachFirst(&c, flags)
	if err != nil {
		return nil, errors.Join(err, removePersistent(c.Name, flags))
	}
	d := &Device{name: c.Name, mtu: c.MTU, vnet: vnet, log: c.Logger, inet: -1, refuse: c.Refuse}
	defer func() {
		if err != nil {
			err = errors.Join(err, d.Close())
		}
	}()
	if err := d.adopt(fd); err != nil {
		return nil, err
	}
	if vnet {
		flags |= unix.IFF_VNET_HDR
		d.supported = probeOffload(fd)
	}
	if err := d.addQueues(c.Queues, flags); err != nil {
		return nil, err
	}
	if err := d.setUp(false); err != nil {
		return nil, err
	}
	return d, nil
}

// attachFirst attaches the queue that decides about the offload header, and ends
// the interface's persistence. vnet says whether frames carry the header.
func attachFirst(c *Config, flags uint16) (fd int, vnet bool, err error) {
	if !c.plain {
		fd, err = attachAlone(c.Name, flags|unix.IFF_VNET_HDR, c.Logger)
		if errors.Is(err, errHeld) {
			return -1, false, err
		}
		if err == nil {
			have, err := queueFlags(fd)
			vnet = err == nil && have&unix.IFF_VNET_HDR != 0 && littleEndian(fd)
		}
		if !vnet {
			c.Logger.Warn("the kernel gives no segmentation offload here: this tunnel will be slower", "interface", c.Name, "err", err)
			if err == nil {
				unix.Close(fd)
			}
		}
	}
	if !vnet {
		if fd, err = attachAlone(c.Name, flags, c.Logger); err != nil {
			return -1, false, err
		}
	}
	err = settle(fd)
	if err == nil {
		err = endPersistence(fd)
	}
	if err != nil {
		unix.Close(fd)
		return -1, false, fmt.Errorf("tun: %s: %w", c.Name, err)
	}
	return fd, vnet, nil
}

// endPersistence makes the interface go when its last descriptor is closed.
func endPersistence(fd int) error {
	if err := unix.IoctlSetInt(fd, unix.TUNSETPERSIST, 0); err != nil {
		return fmt.Errorf("TUNSETPERSIST: %w", err)
	}
	return nil
}

// littleEndian fixes the byte order of the header, which is otherwise that of the
// machine: the two ends may differ.
func littleEndian(fd int) bool {
	return unix.IoctlSetPointerInt(fd, unix.TUNSETVNETLE, 1) == nil
}

// probeOffload finds the most that this kernel takes.
func probeOffload(fd int) Offload {
	for _, o := range []Offload{allOffload, tsoOffload, Checksum} {
		if unix.IoctlSetInt(fd, unix.TUNSETOFFLOAD, int(o)) == nil {
			return o
		}
	}
	return 0
}

// attach opens a queue of the interface name, making it if it isn't there.
func attach(name string, flags uint16) (int, error) {
	fd, err := unix.Open(devicePath, unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return -1, openError(err)
	}
	req, err := unix.NewIfreq(name)
	if err != nil {
		unix.Close(fd)
		return -1, fmt.Errorf("tun: %s: %w", name, err)
	}
	req.SetUint16(flags)
	if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, req); err != nil {
		unix.Close(fd)
		if errors.Is(err, unix.EPERM) {
			return -1, fmt.Errorf("tun: attach %s: CAP_NET_ADMIN is needed: %w", name, err)
		}
		return -1, fmt.Errorf("tun: attach %s: TUNSETIFF: %w", name, err)
	}
	return fd, nil
}

// openError says what to do where devicePath cannot be opened.
func openError(err error) error {
	switch {
	case errors.Is(err, os.ErrNotExist), errors.Is(err, unix.ENODEV):
		return fmt.Errorf("tun: %s is missing: load the kernel's tun module, or let the container have the device: %w", devicePath, err)
	case errors.Is(err, unix.EPERM):
		return fmt.Errorf("tun: %s is there and is denied to this process: let the container have the device (--device %[1]s), or the unit (DeviceAllow=%[1]s rw): %w", devicePath, err)
	case errors.Is(err, unix.EACCES):
		return fmt.Errorf("tun: %s cannot be opened by user %d: run as root, or let that user read and write it: %w", devicePath, os.Geteuid(), err)
	}
	return fmt.Errorf("tun: open %s: %w", devicePath, err)
}

// queueName returns the name that the interface has now that fd is a queue of.
func queueName(fd int) (string, error) {
	req, err := unix.NewIfreq("")
	if err != nil {
		return "", err
	}
	err = unix.IoctlIfreq(fd, unix.TUNGETIFF, req)
	return req.Name(), err
}

// queueFlags returns the flags of the interface that fd is a queue of.
func queueFlags(fd int) (uint16, error) {
	req, err := unix.NewIfreq("")
	if err != nil {
		return 0, err
	}
	if err := unix.IoctlIfreq(fd, unix.TUNGETIFF, req); err != nil {
		return 0, fmt.Errorf("TUNGETIFF: %w", err)
	}
	return req.Uint16(), nil
}
