// Package kernelwgtest has, for the tests of other packages, what takes the place of the kernel's WireGuard.
package kernelwgtest

import (
	"sync"

	"golang.zx2c4.com/wireguard/wgctrl/wgtypes"
)

// Device is a device that takes any configuration, or none, and whose peer never comes: a kernelwg.Control. The zero value is
// ready, and its methods may be called from any goroutine.
type Device struct {
	mu      sync.Mutex
	refuses error
	port    int
}

// Refuse says what configuring fails with from now on; nil: it does not.
func (d *Device) Refuse(err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.refuses = err
}

// Listen says which UDP port the device has from now on; at first it has none.
func (d *Device) Listen(port int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.port = port
}

// ConfigureDevice keeps nothing.
func (d *Device) ConfigureDevice(string, wgtypes.Config) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.refuses
}

// Device has no peer.
func (d *Device) Device(string) (*wgtypes.Device, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return &wgtypes.Device{ListenPort: d.port}, nil
}

// Close does nothing.
func (*Device) Close() error { return nil }
