package tlslink

import "sync"

// group runs goroutines and tells of the first that failed.
type group struct {
	sync.WaitGroup
	failed chan error
}

func newGroup() *group { return &group{failed: make(chan error, 1)} }

func (g *group) Go(f func() error) {
	g.WaitGroup.Go(func() {
		if err := f(); err != nil {
			select {
			case g.failed <- err:
			default:
			}
		}
	})
}
