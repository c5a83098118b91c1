package agent

import (
	"errors"
	"slices"
	"strings"
	"sync"

	"warren/internal/link"
	"warren/tunnel/kernelwg"
)

// wireguards is how interfaces of the kernel's WireGuard are made and removed.
type wireguards struct {
	add       func(name, alias string, adopt bool) (index int, err error)
	remove    func(name string, isStale func(alias string) bool) error
	removeAll func(suffix string, keep map[string]bool) (removed []string, err error)
	control   func() (kernelwg.Control, error)
}

func kernelWireGuards() wireguards {
	return wireguards{link.AddWireGuard, link.RemoveWireGuard, link.RemoveWireGuards, kernelwg.OpenControl}
}

// removeKernel removes the interface of that name if it is one of the kernel's WireGuard that the daemon before has left
// and that isStale is true of, by its alias. The name is needed for another one.
func (i *interfaces) removeKernel(name string, isStale func(alias string) bool) error {
	if i.left == nil {
		return nil
	}
	return i.wireguards.remove(name, func(alias string) bool {
		return strings.HasSuffix(alias, kernelSuffix(i.path)) && isStale(alias)
	})
}

// dropKernel removes the interfaces that the daemon before has left to the kernel's WireGuard and that no tunnel has
// taken.
func (i *interfaces) dropKernel() (removed []string, err error) {
	i.kernel.hold(func(open map[string]bool) {
		removed, err = i.wireguards.removeAll(kernelSuffix(i.path), open)
	})
	return removed, err
}

// cleanUpKernel has those interfaces removed too if this daemon ends before its tunnels have taken what they need, and the
// addresses that were added to other programs' interfaces. Unlike TUN devices they outlive the process.
func (a *Agent) cleanUpKernel(l *loop, t *tasks) {
	if a.left == nil {
		return // startInterfaces has removed all, or another daemon is at work
	}
	suffix := kernelSuffix(a.cfg.Path)
	t.cleanup("interfaces that outlive the process", stopTimeout, func() {
		if l.left.areOver() {
			return
		}
		_, err := a.wireguards.removeAll(suffix, nil)
		if err = errors.Join(err, l.left.dropStanding()); err != nil {
			a.log.Error("cannot remove what the daemon before has left", "err", err)
		}
	})
}

// names are those of interfaces. The methods may be called from any goroutine; the zero value has none.
type names struct {
	mu  sync.Mutex
	all []string
}

func (n *names) add(name string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.all = append(n.all, name)
}

func (n *names) remove(name string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.all = slices.DeleteFunc(n.all, func(have string) bool { return have == name })
}

// hold calls f with all, while which none is added or removed.
func (n *names) hold(f func(all map[string]bool)) {
	n.mu.Lock()
	defer n.mu.Unlock()
	all := map[string]bool{}
	for _, name := range n.all {
		all[name] = true
	}
	f(all)
}
