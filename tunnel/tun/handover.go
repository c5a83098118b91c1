package tun

import (
	"errors"
	"fmt"
	"log/slog"
	"os"

	"golang.org/x/sys/unix"
)

// Handover is an interface that one program leaves to the next one in the same process
// (execve(2)): its descriptors, which stay open, and what these do not say.
type Handover struct {
	Name    string  `json:"name"`
	Index   int     `json:"index"`
	MTU     int     `json:"mtu"` // bytes
	VNet    bool    `json:"vnet"`
	Offload Offload `json:"offload"` // what the kernel can leave to a reader
	Carrier bool    `json:"carrier"`
	Queues  []int   `json:"queues"` // descriptors, in the order of the queues
	Writer  int     `json:"writer"` // the descriptor that is written to, which may be the first queue's
	// Unqueued says that the interface was opened without a queueing discipline, as it was not by an older program.
	Unqueued bool `json:"unqueued,omitempty"`
}

// Handover describes the interface. The descriptors stay the Device's. As many packets as possible may wait in its queues from now on.
func (d *Device) Handover() (Handover, error) {
	d.setting.Lock()
	carrier := d.carrier
	d.setting.Unlock()
	d.controls.RLock()
	defer d.controls.RUnlock()
	if d.isClosed() {
		return Handover{}, fmt.Errorf("tun: hand over %s: %w", d.name, os.ErrClosed)
	}
	h := Handover{
		Name: d.name, Index: d.index, MTU: d.mtu, VNet: d.vnet, Offload: d.supported, Carrier: carrier, Writer: d.writer, Unqueued: true,
	}
	for _, q := range d.queues {
		err := q.raw.Control(func(fd uintptr) { h.Queues = append(h.Queues, int(fd)) })
		if err != nil {
			return Handover{}, fmt.Errorf("tun: hand over %s: %w", d.name, err)
		}
	}
	d.lengthen()
	return h, nil
}

// Descriptors returns those of the interface, each once.
func (h *Handover) Descriptors() []int {
	fds := h.Queues
	if len(h.Queues) == 0 || h.Writer != h.Queues[0] {
		fds = append(fds[:len(fds):len(fds)], h.Writer)
	}
	return fds
}

// Close closes the descriptors, with which the interface goes.
func (h *Handover) Close() error {
	var errs []error
	for _, fd := range h.Descriptors() {
		errs = append(errs, unix.Close(fd))
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("tun: close %s: %w", h.Name, err)
	}
	return nil
}

// Fits reports whether the interface is what [Open] would make of c.
func (h *Handover) Fits(c Config) bool {
	return h.Name == c.Name && h.MTU == c.MTU && len(h.Queues) == c.Queues && (!c.plain || !h.VNet)
}

// Adopt makes a Device of an interface that was handed over, which has to fit c. Packets that
// wait in its queues stay there, and so do its carrier, its addresses and its routes. The Device
// has the descriptors from now on, also if this fails: then they are closed, and the interface
// is gone.
func Adopt(c Config, h Handover) (_ *Device, err error) {
	if err := c.check(); err != nil {
		return nil, errors.Join(err, h.Close())
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if err := h.verify(c); err != nil {
		return nil, errors.Join(err, h.Close())
	}
	d := &Device{
		name: c.Name, mtu: c.MTU, vnet: h.VNet, supported: h.Offload, carrier: h.Carrier,
		log: c.Logger, inet: -1, refuse: c.Refuse,
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, d.Close())
		}
	}()
	for i, fd := range h.Queues {
		if err = d.adopt(fd); err != nil {
			for _, left := range h.Queues[i+1:] {
				unix.Close(left)
			}
			break
		}
	}
	if h.Writer != h.Queues[0] {
		d.writer, d.writeOnly = h.Writer, true
	}
	if err != nil {
		return nil, err
	}
	return d, d.setUp(h.Unqueued)
}

// verify makes sure that the descriptors are queues of the interface, and that the interface is
// still this process's alone.
func (h *Handover) verify(c Config) error {
	if !h.Fits(c) {
		return fmt.Errorf("tun: %s was handed over with MTU %d and %d queues: wanted is %s with %d and %d",
			h.Name, h.MTU, len(h.Queues), c.Name, c.MTU, c.Queues)
	}
	for _, fd := range h.Descriptors() {
		name, err := queueName(fd)
		if err != nil {
			return fmt.Errorf("tun: descriptor %d was handed over for %s: %w", fd, h.Name, err)
		}
		if name != h.Name {
			return fmt.Errorf("tun: descriptor %d was handed over for %s, and is of %s", fd, h.Name, name)
		}
		have, err := queueFlags(fd)
		if err != nil {
			return fmt.Errorf("tun: %s: %w", h.Name, err)
		}
		if have&unix.IFF_TUN == 0 || (have&unix.IFF_VNET_HDR != 0) != h.VNet {
			return fmt.Errorf("tun: %s was handed over and has other flags (%#x)", h.Name, have)
		}
	}
	s, err := look(h.Name)
	if err != nil {
		return fmt.Errorf("tun: %w", err)
	}
	if s.index != h.Index {
		return fmt.Errorf("tun: %s was handed over as interface %d, and is %d", h.Name, h.Index, s.index)
	}
	if problem := s.shared(len(h.Descriptors())); problem != "" {
		return fmt.Errorf("tun: %s was handed over: %s", h.Name, problem)
	}
	return nil
}
