package tlslink

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// A peer that has hung up may have said why. That is why the session ends, also where sending has found it first; what a peer does
// not say within a moment is not waited for.
func TestWordOfThePeerCountsBeforeItsReset(t *testing.T) {
	for name, said := range map[string]error{"said": errors.New("peer closed the tunnel: maintenance"), "not said": nil} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				_, s := stillLink(t)
				go s.sendFailed(errReset)
				synctest.Wait()
				want := errReset
				if said != nil {
					want = said
					s.fail(said)
				}
				time.Sleep(goodbyeTimeout)
				synctest.Wait()
				if !errors.Is(s.err, want) {
					t.Errorf("%v, want %v", s.err, want)
				}
			})
		})
	}
}
