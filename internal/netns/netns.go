package netns

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"

	"github.com/vishvananda/netlink"
	vns "github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// Dir is where named namespaces are bound, the place ip(8) uses.
const Dir = "/run/netns"

// NS is a network namespace held open by a descriptor. Its methods may be
// called from several goroutines at once, Close excepted.
type NS struct {
	name   string // empty: anonymous
	handle vns.NsHandle

	closing sync.Once
	err     error // of the first Close
}

// New makes a network namespace called name, with its loopback interface up,
// and binds it at /run/netns/NAME. It fails if the name is taken.
// The caller removes it with Close.
func New(name string) (*NS, error) {
	if err := checkName(name); err != nil {
		return nil, err
	}
	if err := shareDir(); err != nil {
		return nil, err
	}
	n, err := create(func() error { return bindSelf(name) })
	if err != nil {
		return nil, fmt.Errorf("netns: make %s: %w", name, err)
	}
	n.name = name
	return n, nil
}

// NewAnonymous makes a network namespace without a name, with its loopback
// interface up. It lives until Close, and as long as a socket or a process is
// in it.
func NewAnonymous() (*NS, error) {
	n, err := create(func() error { return nil })
	if err != nil {
		return nil, fmt.Errorf("netns: make an anonymous namespace: %w", err)
	}
	return n, nil
}

// Open opens the namespace that is bound at /run/netns/NAME, whoever made it.
// Close then only lets go of it; use Delete to remove it.
func Open(name string) (*NS, error) {
	if err := checkName(name); err != nil {
		return nil, err
	}
	h, err := vns.GetFromName(name)
	if err != nil {
		return nil, fmt.Errorf("netns: open %s: %w", name, err)
	}
	return &NS{handle: h}, nil
}

// Delete removes the binding /run/netns/NAME. The namespace itself goes when
// nothing uses it any more. A name that does not exist is not an error.
func Delete(name string) error {
	if err := checkName(name); err != nil {
		return err
	}
	path := filepath.Join(Dir, name)
	// EINVAL: the file is there but nothing is mounted on it.
	err := unix.Unmount(path, unix.MNT_DETACH)
	if err != nil && !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("netns: unmount %s: %w", path, err)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("netns: remove %s: %w", path, err)
	}
	return nil
}

// Name returns the name given to New, empty for any other namespace.
func (n *NS) Name() string { return n.name }

// Fd returns the descriptor that holds the namespace open, valid until Close.
func (n *NS) Fd() int { return int(n.handle) }

// Close lets go of the namespace, and removes its name if New made it.
// Calls after the first do nothing and return the same error.
func (n *NS) Close() error {
	n.closing.Do(func() {
		if n.name != "" {
			n.err = Delete(n.name)
		}
		n.err = errors.Join(n.err, n.handle.Close())
	})
	return n.err
}

// Do runs f on a thread that is in the namespace and returns f's error.
//
// f runs in a goroutine of its own, so it must not call testing's FailNow and
// friends (that is reported as an error); use Run for subtests.
func (n *NS) Do(f func() error) error {
	var err error
	ended := errors.New("netns: the function ended its goroutine")
	done := make(chan struct{})
	go func() {
		defer close(done)
		err = ended
		err = n.doHere(f)
	}()
	<-done
	return err
}

// doHere is Do on the calling goroutine, which must end soon after: when the
// thread cannot be moved back it stays locked, and dies with the goroutine.
func (n *NS) doHere(f func() error) (err error) {
	leave, err := n.enter()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, leave()) }()
	return f()
}

// enter locks the calling goroutine to its thread and moves that into n.
// leave undoes it and reports whether it could.
func (n *NS) enter() (leave func() error, err error) {
	runtime.LockOSThread()
	home, err := vns.Get()
	if err != nil {
		runtime.UnlockOSThread()
		return nil, fmt.Errorf("netns: open the current namespace: %w", err)
	}
	if err := vns.Set(n.handle); err != nil {
		_ = home.Close()
		runtime.UnlockOSThread()
		return nil, fmt.Errorf("netns: enter %s: %w", n.label(), err)
	}
	return func() error {
		defer func() { _ = home.Close() }()
		if err := vns.Set(home); err != nil {
			return fmt.Errorf("netns: leave %s: %w", n.label(), err)
		}
		runtime.UnlockOSThread()
		return nil
	}, nil
}

func (n *NS) label() string {
	if n.name == "" {
		return "the namespace"
	}
	return n.name
}

// create makes a namespace on a thread that goes there and back, and calls bind
// while it is there.
func create(bind func() error) (*NS, error) {
	var n *NS
	err := errors.New("the goroutine ended")
	done := make(chan struct{})
	go func() {
		defer close(done)
		n, err = createHere(bind)
	}()
	<-done
	return n, err
}

// createHere is create on the calling goroutine, which must end soon after, for
// the reason given at doHere.
func createHere(bind func() error) (n *NS, err error) {
	runtime.LockOSThread()
	home, err := vns.Get()
	if err != nil {
		runtime.UnlockOSThread()
		return nil, fmt.Errorf("open the current namespace: %w", err)
	}
	defer func() { _ = home.Close() }()
	h, err := vns.New()
	if err != nil {
		runtime.UnlockOSThread()
		return nil, fmt.Errorf("unshare: %w", err)
	}
	if err = setLoopbackUp(); err == nil {
		err = bind()
	}
	if serr := vns.Set(home); serr != nil {
		err = errors.Join(err, fmt.Errorf("go back: %w", serr))
	} else {
		runtime.UnlockOSThread()
	}
	if err != nil {
		_ = h.Close()
		return nil, err
	}
	return &NS{handle: h}, nil
}

func setLoopbackUp() error {
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return fmt.Errorf("find lo: %w", err)
	}
	if err := netlink.LinkSetUp(lo); err != nil {
		return fmt.Errorf("set lo up: %w", err)
	}
	return nil
}

// bindSelf binds the calling thread's namespace at /run/netns/NAME.
func bindSelf(name string) error {
	path := filepath.Join(Dir, name)
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_RDONLY, 0o444)
	if errors.Is(err, os.ErrExist) {
		return fmt.Errorf("%s is taken; `ip netns del %s` removes it", path, name)
	}
	if err != nil {
		return err
	}
	_ = f.Close()
	if err := unix.Mount("/proc/thread-self/ns/net", path, "", unix.MS_BIND, ""); err != nil {
		_ = os.Remove(path)
		return fmt.Errorf("bind at %s: %w", path, err)
	}
	return nil
}

// shareDir makes /run/netns a mount point whose mounts are shared with the
// mount namespaces of `ip netns exec`, so that a deletion here reaches them.
func shareDir() error {
	if err := os.MkdirAll(Dir, 0o755); err != nil {
		return fmt.Errorf("netns: %w", err)
	}
	err := unix.Mount("", Dir, "none", unix.MS_SHARED|unix.MS_REC, "")
	if errors.Is(err, unix.EINVAL) { // not a mount point yet
		if err = unix.Mount(Dir, Dir, "none", unix.MS_BIND|unix.MS_REC, ""); err == nil {
			err = unix.Mount("", Dir, "none", unix.MS_SHARED|unix.MS_REC, "")
		}
	}
	if err != nil {
		return fmt.Errorf("netns: share %s: %w", Dir, err)
	}
	return nil
}

func checkName(name string) error {
	if name == "" || name == "." || name == ".." || len(name) > unix.NAME_MAX || strings.ContainsAny(name, "/\x00") {
		return fmt.Errorf("netns: %q cannot name a namespace: use 1 to %d characters, no slash", name, unix.NAME_MAX)
	}
	return nil
}
