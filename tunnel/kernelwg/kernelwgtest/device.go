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
}

// Refuse says what configuring fails with from now on; nil: it does not.
func (d *Device) Refuse(err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.refuses = err
}

// ConfigureDevice keeps nothing.
func (d *Device) ConfigureDevice(string, wgtypes.Config) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.refuses
}

// Device has no peer.
func (*Device) Device(string) (*wgtypes.Device, error) { return &wgtypes.Device{}, nil }

// Close does nothing.
func (*Device) Close() error { return nil }
