package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"slices"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"warren/internal/config"
	"warren/internal/handover"
	"warren/internal/link"
	"warren/internal/socket"
	"warren/internal/speaker"
	"warren/internal/status"
	"warren/tunnel"
	"warren/tunnel/auto"
	"warren/tunnel/tlslink"
	"warren/tunnel/tun"
	"warren/tunnel/wireguard"
)

// HandoverVersion is that of what one daemon leaves to the next one in its process. A daemon takes over
// what has its own version, and nothing else.
const HandoverVersion = 1

// left is what a daemon leaves. Numbers of descriptors are those that they have in this process.
type left struct {
	Version   int                         `json:"version"`
	Asked     int                         `json:"asked"` // the connection of who asked, which waits for an answer
	Socket    socket.Handover             `json:"socket"`
	TLS       *tlslink.EndpointHandover   `json:"tls"`
	WireGuard *wireguard.EndpointHandover `json:"wireguard"`
	Tunnels   []leftTunnel                `json:"tunnels"`
	Up        []string                    `json:"up"` // attachments that were up and need no descriptors
	Speaker   *speaker.Handover           `json:"speaker"`
	FlowHash  []string                    `json:"flow_hash"` // what was set of the kernel's
	Orders    *orders                     `json:"orders"`    // of operators
	Kept      map[netip.Prefix]string     `json:"kept"`      // what was learned last from peers with unreachable = true, and from which

	// Accepted are the peers that no file names, by name, and when each was last seen. nil: a daemon has left this that did not say.
	Accepted map[string]time.Time `json:"accepted"`

	// What a daemon of the same version may lack, as it was added later, or have in another form (lefthistory.go).
	History json.RawMessage `json:"history,omitempty"` // a history.Handover
	Flaps   json.RawMessage `json:"flaps,omitempty"`   // a map of leftFlaps
	// UpSince is since when those of Up are up, by name.
	UpSince map[string]time.Time `json:"up_since,omitempty"`
	// Standing are interfaces that go on without the process (standing.go), by attachment.
	Standing map[string]leftStanding `json:"standing,omitempty"`
	// Unreachable is what the guard was told last: there are routes that lead nowhere.
	Unreachable bool `json:"unreachable,omitempty"`
}

// leftTunnel is an interface, and the tunnel that was up over it.
type leftTunnel struct {
	Name   string       `json:"name"` // of the attachment
	Device tun.Handover `json:"device"`
	// OverIPv4 is that BGP had gone over to IPv4, because the peer has no IPv6.
	OverIPv4 bool `json:"over_ipv4"`
	// Assigned are the addresses that the interface has because the peer assigned them, the tunnel being up or not.
	Assigned []netip.Addr `json:"assigned,omitempty"`
	// Came is since when it is up; zero: it was not, or that is not known.
	Came time.Time `json:"came,omitzero"`
	// One of the two if the tunnel was up; with Auto those that were.
	TLS       *tlslink.Handover   `json:"tls"`
	WireGuard *wireguard.Handover `json:"wireguard"`
	Auto      *auto.Handover      `json:"auto,omitempty"`
}

func (t *leftTunnel) wasUp() bool { return t.TLS != nil || t.WireGuard != nil }

// accepted returns Accepted, or, where the daemon before did not say, all peers that it has left something of.
func (n *left) accepted() map[string]time.Time {
	if n.Accepted != nil {
		return n.Accepted
	}
	all := map[string]time.Time{}
	for i := range n.Tunnels {
		all[peerOf(n.Tunnels[i].Name)] = time.Time{}
	}
	if n.Orders != nil {
		for name := range n.Orders.held() {
			all[name] = time.Time{}
		}
	}
	return all
}

// descriptors returns all.
func (n *left) descriptors() []int {
	fds := []int{n.Asked, n.Socket.Listener, n.Socket.Lock}
	if n.TLS != nil {
		for _, fd := range n.TLS.Listeners {
			fds = append(fds, fd)
		}
	}
	if n.WireGuard != nil {
		for _, s := range n.WireGuard.Sockets {
			fds = append(fds, s.Descriptor)
		}
	}
	for i := range n.Tunnels {
		fds = append(fds, n.Tunnels[i].Device.Descriptors()...)
	}
	return fds
}

// parseLeft takes apart what the program before has left; nil if state is.
func parseLeft(state []byte) (*left, error) {
	if state == nil {
		return nil, nil
	}
	var n left
	if err := json.Unmarshal(state, &n); err != nil {
		return nil, fmt.Errorf("what the daemon before has left: %w", err)
	}
	if n.Version != HandoverVersion {
		return nil, fmt.Errorf("what the daemon before has left is of version %d, and this one takes version %d", n.Version, HandoverVersion)
	}
	if err := handover.Keep(n.descriptors()); err != nil {
		return nil, err
	}
	return &n, nil
}

// answer tells who has asked for the restart what has become of it.
func (n *left) answer(r status.RestartResult) error {
	f := os.NewFile(uintptr(n.Asked), "asked")
	defer f.Close()
	return status.Answer(f, r)
}

// leftovers are the interfaces that were handed over and that no tunnel has taken yet. Its methods may be
// called from any goroutine; the nil one is empty.
type leftovers struct {
	mu    sync.Mutex
	all   []leftTunnel
	other func() ([]string, error) // removes those that go on by themselves, and that no tunnel has taken
	over  bool                     // what nobody has taken is removed

	standing map[string]leftStanding // by attachment, that no tunnel has taken yet
}

// areOver reports whether what no tunnel has taken is removed.
func (o *leftovers) areOver() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.over
}

// also says how interfaces are removed that are not among those that were handed over.
func (o *leftovers) also(drop func() (names []string, err error)) {
	if o != nil {
		o.other = drop
	}
}

func newLeftovers(n *left) *leftovers {
	if n == nil {
		return nil
	}
	return &leftovers{all: slices.Clone(n.Tunnels), standing: maps.Clone(n.Standing)}
}

// take returns what was left of the interface, whose descriptors are the caller's then; nil: nothing.
func (o *leftovers) take(ifname string) *leftTunnel {
	if o == nil {
		return nil
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	i := slices.IndexFunc(o.all, func(t leftTunnel) bool { return t.Device.Name == ifname })
	if i < 0 {
		return nil
	}
	t := o.all[i]
	o.all = slices.Delete(o.all, i, i+1)
	return &t
}

// drop removes the interfaces that nobody has taken, and returns their names.
func (o *leftovers) drop() (names []string, err error) {
	if o == nil {
		return nil, nil
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	var errs []error
	for i := range o.all {
		names = append(names, o.all[i].Device.Name)
		errs = append(errs, o.all[i].Device.Close())
	}
	o.all, o.over = nil, true
	errs = append(errs, o.dropStandingLocked())
	if o.other != nil {
		more, err := o.other()
		names, errs = append(names, more...), append(errs, err)
	}
	return names, errors.Join(errs...)
}

// resumeWithin is how long tunnels that were up are waited for, before routes are written. Their far ends wait as long.
const resumeWithin = tunnel.RestartWithin

// resumption is the time in which a daemon that has taken over finds again what there was. Until it is
// over no route is written: those of the kernel are right. The loop owns it.
type resumption struct {
	from    *left
	awaited []string        // attachments that were up
	seen    map[string]bool // attachments that have come up since, by name, though they may have gone down again
	timer   *time.Timer
	done    chan struct{} // closed when it is over
}

func newResumption(from *left) *resumption {
	if from == nil {
		return nil
	}
	r := &resumption{from: from, awaited: slices.Clone(from.Up), seen: map[string]bool{}, timer: time.NewTimer(resumeWithin), done: make(chan struct{})}
	for i := range from.Tunnels {
		if from.Tunnels[i].wasUp() {
			r.awaited = append(r.awaited, from.Tunnels[i].Name)
		}
	}
	return r
}

func (r *resumption) tooLong() <-chan time.Time {
	if r == nil {
		return nil
	}
	return r.timer.C
}

// wasOverIPv4 reports whether BGP over an attachment had gone over to IPv4 for a peer without IPv6.
func (r *resumption) wasOverIPv4(name string) bool {
	return r != nil && slices.ContainsFunc(r.from.Tunnels, func(t leftTunnel) bool { return t.Name == name && t.OverIPv4 })
}

// cameUp returns since when a tunnel was up in the daemon before; zero: that is not known, or it was not.
func (r *resumption) cameUp(name string) time.Time {
	i := slices.IndexFunc(r.from.Tunnels, func(t leftTunnel) bool { return t.Name == name && t.wasUp() })
	if i < 0 {
		return r.from.UpSince[name]
	}
	return r.from.Tunnels[i].Came
}

// seenUp notes that a tunnel has come up, and returns since when it is: zero, from now on, if it has come up before in this daemon
// as well.
func (r *resumption) seenUp(name string) time.Time {
	if r == nil || r.seen[name] {
		return time.Time{}
	}
	r.seen[name] = true
	return r.cameUp(name)
}

// missing are the tunnels that were up before and have not come up since.
func (r *resumption) missing() (all []event) {
	for _, name := range r.awaited {
		if !r.seen[name] {
			all = append(all, missed{name, r.cameUp(name)})
		}
	}
	return all
}

// takeUp has the loop know what the daemon before knew. The peers are configured.
func (l *loop) takeUp() {
	if l.resuming == nil {
		return
	}
	l.takeFlaps(l.resuming.from.Flaps)
	for l.learn(); l.feed.more; {
		l.learnSome()
	}
	for prefix, peer := range l.resuming.from.Kept {
		if most, keeps := l.keeps[peer]; keeps && prefix.IsValid() {
			l.state.kept.learn(prefix, peer, 4*most, l.state.learned.Has)
		}
	}
	if !l.m.hashPorts {
		if err := l.hashPorts(false); err != nil {
			l.log.Warn("cannot set the kernel's flow hash back", "err", err)
		}
	}
}

// resumed ends the resumption when all is there again that was, or now.
func (l *loop) resumed(now bool) {
	r := l.resuming
	switch {
	case r == nil:
		return
	case now && l.m.starting: // on a busy machine that takes its time, and none may be removed that is about to be taken
		r.timer.Reset(resumeWithin)
		return
	case !now && !l.isBack(r):
		return
	}
	l.resuming = nil
	l.tellUnreachable()
	r.timer.Stop()
	l.play(r.missing()...)
	names, err := l.left.drop()
	if err != nil {
		l.log.Error("cannot remove interfaces that nothing needs any more", "err", err)
	}
	if len(names) > 0 {
		l.log.Info("removed interfaces that the config does not have any more", "interfaces", names)
	}
	close(r.done)
}

// takeAssigned has the attachments know the addresses that their interfaces were assigned and still have. Over WireGuard the peer
// says them only when it is asked, and without them their routes would go until then.
func (l *loop) takeAssigned() {
	if l.resuming == nil {
		return
	}
	for _, t := range l.resuming.from.Tunnels {
		if a := l.m.named(t.Name); a != nil && a.cfg.Assigned && a.cfg.Interface == t.Device.Name {
			a.assigned = t.Assigned
		}
	}
}

// isBack reports whether all is there again.
func (l *loop) isBack(r *resumption) bool {
	if l.m.starting || l.m.changed || l.state.touched.left() || l.feed.more {
		return false
	}
	back := true
	l.m.all(func(a *attachment) {
		if slices.Contains(r.awaited, a.name) && (a.session == nil || !a.session.ready) {
			back = false
		}
	})
	return back
}

// adopt takes the interface over that was left, if it is as it is to be now. nil: there is none.
func (i *interfaces) adopt(name string, c tun.Config) (*tun.Device, *leftTunnel) {
	was := i.left.take(c.Name)
	if was == nil {
		return nil, nil
	}
	if was.Device.Fits(c) && was.Name == name {
		dev, err := tun.Adopt(c, was.Device)
		if err == nil {
			return dev, was
		}
		i.log.Warn("a tunnel's interface cannot be taken over and is made again", "peer", name, "interface", c.Name, "err", err)
		return nil, nil
	}
	i.giveUp(name, was)
	return nil, nil
}

// goneWithin bounds how long an interface that was given up is waited for.
const goneWithin = 5 * time.Second

// giveUp removes an interface that was left for a tunnel that is to have another one, and returns when its name is free. A
// process that is being started at this moment, as the speaker's, has the descriptors until it executes its program.
func (i *interfaces) giveUp(name string, was *leftTunnel) {
	syscall.ForkLock.RLock()
	err := was.Device.Close()
	syscall.ForkLock.RUnlock()
	for end := time.Now().Add(goneWithin); err == nil && time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		var there bool
		if there, err = link.Exists(was.Device.Name); err == nil && !there {
			return
		}
	}
	i.log.Warn("cannot remove an interface that is to be another one", "peer", name, "interface", was.Device.Name, "err", err)
}

// handedTunnel is a tunnel that can be left to the next daemon.
type handedTunnel interface {
	tellRestart(ctx context.Context)
	handOver(ctx context.Context, name string) (leftTunnel, error)
	carry()
}

// tellRestart has the far end know of the restart, if it has to before the tunnel is paused.
func (t *deviceTunnel) tellRestart(ctx context.Context) {
	if t.handing.tell != nil {
		t.handing.tell(ctx)
	}
}

// handOver pauses the tunnel.
func (t *deviceTunnel) handOver(ctx context.Context, name string) (leftTunnel, error) {
	n := leftTunnel{Name: name}
	if err := t.handing.leave(ctx, &n); err != nil {
		return n, err
	}
	var err error
	n.Device, err = t.device.Handover()
	return n, err
}

func (t *deviceTunnel) carry() { t.handing.carry() }

// handing is how a transport leaves a tunnel to the next daemon, or goes on with it.
type handing struct {
	tell  func(context.Context) // nil: leave tells the far end
	leave func(context.Context, *leftTunnel) error
	carry func()
}

// goesOn reports whether the tunnel was up, over the transport that it is to be over now.
func (t *leftTunnel) goesOn(cfg config.Tunnel) bool {
	switch cfg.Transport {
	case config.TransportAuto:
		return t.Auto != nil && t.wasUp()
	case config.TransportTLS:
		return t.Auto == nil && t.TLS != nil
	case config.TransportWireGuard:
		return t.Auto == nil && t.WireGuard != nil
	}
	return false
}

// blockSignals keeps signals from ending the process while it has no handler for them: they wait for the
// next program's.
func blockSignals() (restore func()) {
	var set, before unix.Sigset_t
	for _, s := range []unix.Signal{unix.SIGHUP, unix.SIGUSR1, unix.SIGTERM, unix.SIGINT} {
		set.Val[(s-1)/64] |= 1 << ((s - 1) % 64)
	}
	if unix.PthreadSigmask(unix.SIG_BLOCK, &set, &before) != nil {
		return func() {}
	}
	return func() { _ = unix.PthreadSigmask(unix.SIG_SETMASK, &before, nil) }
}
