package flow

import (
	"log/slog"
	"net/netip"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"warren/tunnel/wireguard/protocol"
)

// Config is what all tunnels and sockets of a router share.
type Config struct {
	Machine *protocol.Machine
	Now     func() time.Time // the clock of Machine
	// Handshake takes each message of a handshake, which is not worked on here. Msg is only
	// valid during the call. It must not block.
	Handshake func(Handshake)
	Logger    *slog.Logger
}

// Handshake is a message of a handshake, and how it arrived.
type Handshake struct {
	Socket *Socket
	At     time.Time // when it was read from the socket
	From   netip.AddrPort
	Local  netip.Addr // of ours, that it was sent to
	Msg    []byte
}

// Flow moves the packets of all tunnels of a router. Its methods may be called from any
// goroutine.
type Flow struct {
	Config
	tunnels sync.Map                      // *protocol.Peer to *Tunnel
	halted  atomic.Pointer[chan struct{}] // nothing is read until it is closed; nil: it is
	batches atomic.Int64                  // that were read, or are being read, and not yet sent or written
	landed  chan struct{}                 // for Halt: there was none, capacity 1
	spare   atomic.Int32                  // workers that may still join, of all stages

	mu       sync.Mutex
	inbounds map[*inbound]struct{} // of the sockets that are open
}

// New returns a flow without tunnels.
func New(c Config) *Flow {
	f := &Flow{Config: c, inbounds: make(map[*inbound]struct{}), landed: make(chan struct{}, 1)}
	f.spare.Store(int32(runtime.GOMAXPROCS(0)))
	return f
}

// Add has packets of a tunnel's peer written to the tunnel's interface.
func (f *Flow) Add(t *Tunnel) { f.tunnels.Store(t.Peer, t) }

// Remove ends that.
func (f *Flow) Remove(t *Tunnel) { f.tunnels.Delete(t.Peer) }

// Heard notes that something authentic came from a peer, to an address of ours, and returns
// its tunnel, or nil.
func (f *Flow) Heard(p *protocol.Peer, local netip.Addr) *Tunnel {
	found, _ := f.tunnels.Load(p)
	t, _ := found.(*Tunnel)
	if t == nil {
		return nil
	}
	t.HeardAt(local)
	if !t.Up.Load() {
		t.Notify()
	}
	return t
}
