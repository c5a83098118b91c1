package remote

import (
	"context"
	"iter"
	"math/rand/v2"
	"net/netip"
	"slices"
	"time"
)

// DefaultConnectTimeout is how long an attempt at one address may take before the next begins.
const DefaultConnectTimeout = 2 * time.Second

// Resolver is [Lookup], or what a test has instead. Addresses beside an error are those that the remote had before ([Names]).
type Resolver func(ctx context.Context, network, remote string) ([]netip.AddrPort, error)

// Group is addresses of one remote that are tried together.
type Group struct {
	Remote int // which of the remotes, from 0
	Addrs  []netip.AddrPort
}

// Plan is in which order the addresses of remotes are tried.
type Plan struct {
	Remotes  []string
	Network  string        // as for [Lookup]
	Random   bool          // the remotes are in another order each time
	Patience time.Duration // with a name that is being looked up, before the next remote is tried
	Resolve  Resolver
	First    *Group // is tried before all others, and without being looked up; nil: none
}

// answer is what a lookup came to.
type answer struct {
	addrs []netip.AddrPort
	err   error
}

// Groups looks all remotes up at once, and returns the groups in the order in which they are to be
// tried: those of good addresses, then those of bad ones, as it is better to try these than
// none. First comes before them, be it good or bad, and what is in it once. The families of a
// remote take turns (RFC 8305, section 4). What is wrong with a remote is told to failed, also where it has addresses of before. Book
// may be read until the sequence ends.
func (p *Plan) Groups(ctx context.Context, book *Book, failed func(error)) iter.Seq[Group] {
	return func(yield func(Group) bool) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		answers := p.lookUp(ctx)
		var late []int
		var bad []Group
		take := func(i int, a answer) bool {
			if a.err != nil {
				failed(a.err)
			}
			if len(a.addrs) == 0 {
				return true
			}
			good, worse := book.Split(p.others(Interleave(a.addrs)), time.Now())
			if len(worse) > 0 {
				bad = append(bad, Group{i, worse})
			}
			return len(good) == 0 || yield(Group{i, good})
		}
		if p.First != nil && !yield(*p.First) {
			return
		}
		for _, i := range p.order() {
			select {
			case a := <-answers[i]:
				if !take(i, a) {
					return
				}
			case <-time.After(p.Patience):
				late = append(late, i)
			}
		}
		for _, i := range late {
			if !take(i, <-answers[i]) { // a lookup has a bound of its own
				return
			}
		}
		for _, g := range bad {
			if !yield(g) {
				return
			}
		}
	}
}

// others leaves out the addresses of First.
func (p *Plan) others(addrs []netip.AddrPort) []netip.AddrPort {
	if p.First == nil {
		return addrs
	}
	return slices.DeleteFunc(slices.Clone(addrs), func(a netip.AddrPort) bool { return slices.Contains(p.First.Addrs, a) })
}

// Order returns groups of all addresses in the order in which they are to be tried, as Groups does.
func Order(all []Group, book *Book, random bool, now time.Time) (ordered []Group) {
	var bad []Group
	all = slices.Clone(all)
	if random {
		rand.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	}
	for _, g := range all {
		good, worse := book.Split(g.Addrs, now)
		if len(good) > 0 {
			ordered = append(ordered, Group{g.Remote, good})
		}
		if len(worse) > 0 {
			bad = append(bad, Group{g.Remote, worse})
		}
	}
	return append(ordered, bad...)
}

// lookUp returns where the answer for each remote will be.
func (p *Plan) lookUp(ctx context.Context) []chan answer {
	answers := make([]chan answer, len(p.Remotes))
	for i, name := range p.Remotes {
		answers[i] = make(chan answer, 1)
		go func() {
			addrs, err := p.Resolve(ctx, p.Network, name)
			answers[i] <- answer{addrs, err}
		}()
	}
	return answers
}

func (p *Plan) order() []int {
	if p.Random {
		return rand.Perm(len(p.Remotes))
	}
	all := make([]int, len(p.Remotes))
	for i := range all {
		all[i] = i
	}
	return all
}

// Interleave returns addresses with the families in turn, the first one's first, each in the order
// that it has (RFC 8305, section 4).
func Interleave(addrs []netip.AddrPort) []netip.AddrPort {
	if len(addrs) < 3 {
		return addrs
	}
	var first, other []netip.AddrPort
	for _, a := range addrs {
		if a.Addr().Is4() == addrs[0].Addr().Is4() {
			first = append(first, a)
		} else {
			other = append(other, a)
		}
	}
	mixed := make([]netip.AddrPort, 0, len(addrs))
	for len(first)+len(other) > 0 {
		for _, family := range []*[]netip.AddrPort{&first, &other} {
			if len(*family) > 0 {
				mixed = append(mixed, (*family)[0])
				*family = (*family)[1:]
			}
		}
	}
	return mixed
}
