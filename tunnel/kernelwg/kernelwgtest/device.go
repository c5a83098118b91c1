// Package kernelwgtest has, for the tests of other packages, what takes the place of the kernel's WireGuard.
package kernelwgtest

import (
	"net"
	"net/netip"
	"slices"
	"sync"

	"golang.zx2c4.com/wireguard/wgctrl/wgtypes"
)

// Device is a device that takes any configuration, or none, and whose peer comes only as [Device.Peer] says: a kernelwg.Control. The zero value is
// ready, and its methods may be called from any goroutine.
type Device struct {
	mu      sync.Mutex
	refuses error
	port    int
	peers   []wgtypes.Peer
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

// Peer says where the peer with a public key is from now on.
func (d *Device) Peer(public [32]byte, at netip.AddrPort) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.peers = []wgtypes.Peer{{PublicKey: public, Endpoint: net.UDPAddrFromAddrPort(at)}}
}

// ConfigureDevice keeps nothing.
func (d *Device) ConfigureDevice(string, wgtypes.Config) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.refuses
}

// Device has the peer that Peer said.
func (d *Device) Device(string) (*wgtypes.Device, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return &wgtypes.Device{ListenPort: d.port, Peers: slices.Clone(d.peers)}, nil
}

// Close does nothing.
func (*Device) Close() error { return nil }
