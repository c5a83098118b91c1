package wireguard

import (
	"context"
	"net/netip"
	"time"

	"warren/tunnel/internal/remote"
)

const lookAgain = 2 * time.Second // where no remote had an address

// resolved is the addresses of all remotes, in order, and why some have none.
type resolved struct {
	addrs []netip.AddrPort
	err   error
}

// resolve looks all remotes up.
func resolve(ctx context.Context, remotes []string) (r resolved) {
	var errs []error
	for _, host := range remotes {
		addrs, err := remote.Lookup(ctx, "udp", host)
		if err != nil {
			errs = append(errs, err)
		}
		r.addrs = append(r.addrs, addrs...)
	}
	r.addrs = remote.Reachable(r.addrs)
	r.err = remote.OneLine(errs)
	return r
}
