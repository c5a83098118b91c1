package topo

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"time"
)

// statusTimeout bounds one `warren status`; pollInterval is between two.
const (
	statusTimeout = 5 * time.Second
	pollInterval  = 20 * time.Millisecond
)

var (
	fingerprintPattern = regexp.MustCompile(`SHA256:(?:[0-9A-F]{2}:){31}[0-9A-F]{2}`)
	publicKeyPattern   = regexp.MustCompile(`(?m)(?:^|[^A-Za-z0-9+/])([A-Za-z0-9+/]{43}=)(?:$|[^A-Za-z0-9+/=])`)
)

// Warren is one Warren router on a host, set up as a user would: with the
// command and text files. It is used by one goroutine at a time.
type Warren struct {
	Host *Host
	// Dir holds warren.toml, peers.d, the keys and the status socket.
	Dir string
	// Fingerprint and PublicKey are what `warren keygen` printed for the peer.
	Fingerprint, PublicKey string
	// Process is the daemon of the latest Start.
	Process *Process

	bin string
}

// NewWarren makes a router's directory and, with the command at bin, its keys.
func NewWarren(ctx context.Context, h *Host, bin string) (*Warren, error) {
	return NewWarrenIn(ctx, h.Name, h, bin)
}

// NewWarrenIn is NewWarren for a host with several routers that take turns: dir
// names the directory of this one, below the topology's.
func NewWarrenIn(ctx context.Context, dir string, h *Host, bin string) (*Warren, error) {
	w := &Warren{Host: h, Dir: filepath.Join(h.topology.dir, dir), bin: bin}
	if err := os.MkdirAll(filepath.Join(w.Dir, "peers.d"), 0o700); err != nil {
		return nil, fmt.Errorf("topo: configuration of %s: %w", h.Name, err)
	}
	out, err := h.Run(ctx, bin, "keygen", "-d", w.Dir)
	if err != nil {
		return nil, err
	}
	w.Fingerprint = fingerprintPattern.FindString(out)
	if m := publicKeyPattern.FindStringSubmatch(out); m != nil {
		w.PublicKey = m[1]
	}
	if w.Fingerprint == "" || w.PublicKey == "" {
		return nil, fmt.Errorf("topo: keygen on %s printed no fingerprint or no WireGuard key:\n%s", h.Name, out)
	}
	return w, nil
}

// ConfigFile is the path of warren.toml.
func (w *Warren) ConfigFile() string { return filepath.Join(w.Dir, "warren.toml") }

// Socket is the path for [api] socket. Each router needs one of its own, since
// namespaces share the file system.
func (w *Warren) Socket() string { return filepath.Join(w.Dir, "warren.sock") }

// Configure writes warren.toml.
func (w *Warren) Configure(toml string) error { return w.write("warren.toml", toml) }

// ConfigurePeer writes the file of one peer.
func (w *Warren) ConfigurePeer(name, toml string) error {
	return w.write(filepath.Join("peers.d", name+".toml"), toml)
}

func (w *Warren) write(name, text string) error {
	if err := os.WriteFile(filepath.Join(w.Dir, name), []byte(text), 0o600); err != nil {
		return fmt.Errorf("topo: configuration of %s: %w", w.Host.Name, err)
	}
	return nil
}

// Command runs `warren SUBCOMMAND -c FILE ARGS…` on the host and returns what it printed.
func (w *Warren) Command(ctx context.Context, subcommand string, args ...string) (string, error) {
	return w.Host.Run(ctx, append([]string{w.bin, subcommand, "-c", w.ConfigFile()}, args...)...)
}

// Start starts the daemon; it does not wait for anything.
func (w *Warren) Start() error {
	p, err := w.Host.Start(w.bin, "run", "-c", w.ConfigFile())
	if err != nil {
		return err
	}
	w.Process = p
	return nil
}

// Status is what this package reads of `warren status --json`. It is spelled out
// here, rather than taken from the daemon's code, so that a field that
// changes its name fails the lab.
type Status struct {
	Router struct {
		Name     string `json:"name"`
		ASN      uint32 `json:"asn"`
		RouterID string `json:"router_id"`
	} `json:"router"`
	Peers []PeerStatus `json:"peers"`
	FIB   struct {
		IPv4    int `json:"ipv4"`
		IPv6    int `json:"ipv6"`
		Pending int `json:"pending"`
		Errors  int `json:"errors"`
	} `json:"fib"`
}

// PeerStatus is one peer of a Status.
type PeerStatus struct {
	Name   string `json:"name"`
	Tunnel struct {
		Transport string  `json:"transport"`
		Interface string  `json:"interface"`
		State     string  `json:"state"`
		Remote    string  `json:"remote"`
		RTTms     float64 `json:"rtt_ms"`
		MTU       int     `json:"mtu"`
		RxBytes   uint64  `json:"rx_bytes"`
		TxBytes   uint64  `json:"tx_bytes"`
		Drops     uint64  `json:"drops"`
		LastError string  `json:"last_error"`
	} `json:"tunnel"`
	BGP     BGPStatus      `json:"bgp"`
	Tunnels []TunnelStatus `json:"tunnels"`
}

// TunnelStatus is one tunnel of a peer.
type TunnelStatus struct {
	Interface string    `json:"interface"`
	State     string    `json:"state"`
	BGP       BGPStatus `json:"bgp"`
}

// BGPStatus is a neighbor behind a tunnel.
type BGPStatus struct {
	Address   string `json:"address"`
	ASN       uint32 `json:"asn"`
	State     string `json:"state"`
	Received  int    `json:"received"`
	Accepted  int    `json:"accepted"`
	Announced int    `json:"announced"`
	LastError string `json:"last_error"`
}

// Status asks the running daemon.
func (w *Warren) Status(ctx context.Context) (*Status, error) {
	ctx, cancel := context.WithTimeout(ctx, statusTimeout)
	defer cancel()
	out, err := w.Command(ctx, "status", "--json")
	if err != nil {
		return nil, err
	}
	s := new(Status)
	if err := json.Unmarshal([]byte(out), s); err != nil {
		return nil, fmt.Errorf("topo: status of %s: %w:\n%s", w.Host.Name, err, out)
	}
	return s, nil
}

// Peer asks the running daemon about one peer.
func (w *Warren) Peer(ctx context.Context, name string) (*PeerStatus, error) {
	s, err := w.Status(ctx)
	if err != nil {
		return nil, err
	}
	for i := range s.Peers {
		if s.Peers[i].Name == name {
			return &s.Peers[i], nil
		}
	}
	return nil, fmt.Errorf("topo: status of %s does not show peer %s", w.Host.Name, name)
}

// WaitEstablished waits until the session with the peer is established, at most
// within, and returns how long that took. It gives up when the daemon ends; an
// error holds the daemon's log.
func (w *Warren) WaitEstablished(ctx context.Context, peer string, within time.Duration) (time.Duration, error) {
	ctx, giveUp := context.WithCancelCause(ctx)
	defer giveUp(nil)
	took, err := Eventually(ctx, pollInterval, within, func() error {
		if !w.Process.Running() {
			giveUp(errors.New("the daemon has ended"))
		}
		p, err := w.Peer(ctx, peer)
		if err != nil {
			return err
		}
		if p.BGP.State != "established" {
			return fmt.Errorf("tunnel to %s is %s (%s), session %s (%s)", peer,
				p.Tunnel.State, p.Tunnel.LastError, p.BGP.State, p.BGP.LastError)
		}
		return nil
	})
	if err != nil {
		return took, fmt.Errorf("topo: %s: %w\nlog of its daemon:\n%s", w.Host.Name, err, w.Process.Log())
	}
	return took, nil
}
