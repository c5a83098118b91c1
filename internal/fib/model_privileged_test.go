//go:build privileged

package fib

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
)

// TestWaysAgainstModel plays many random changes, ours and others', with next-hop objects and
// on a kernel without, and compares the kernel with a naive account after each.
func TestWaysAgainstModel(t *testing.T) {
	for _, noObjects := range []bool{false, true} {
		t.Run(fmt.Sprint("noObjects=", noObjects), func(t *testing.T) {
			hops(t, func(t *testing.T, k *kernel) { playModel(t, k, noObjects) })
		})
	}
}

type wantedWays struct {
	names       []string
	unreachable bool
}

func playModel(t *testing.T, k *kernel, noObjects bool) {
	f, err := open(config(), noObjects)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	if f.HasObjects() == noObjects {
		t.Fatalf("HasObjects is %v", f.HasObjects())
	}
	rnd, model, down, carrier := newRand(t), map[netip.Prefix]wantedWays{}, map[string]bool{}, map[string]bool{}
	choices := [][]string{{"hopA"}, {"hopB"}, {"hopA", "hopB"}, {"hopB", "hopA"}, {"hopA", "hopB:5", "hopC"}, {"hopC", "hopA"}, nil,
		{"hopA*fe80::7"}, {"hopA*fe80::8"}, {"hopA*fe80::7", "hopA*fe80::8", "~hopB"}, {"hopB", "hopA*fe80::8"},
		{"hopA", "~hopB"}, {"hopA", "~hopC"}, {"hopB:5", "hopA", "~hopC"}, {"hopC", "~hopB", "~hopA:5"}, {"~hopC", "~hopA"}}
	for range 80 {
		for range rnd.IntN(6) {
			w := wantedWays{names: choices[rnd.IntN(len(choices))], unreachable: rnd.IntN(4) == 0}
			p := nth(k, rnd.IntN(12))
			model[p] = w
			f.Apply(Change{Prefix: p, Ways: ways(w.names...), Unreachable: w.unreachable})
		}
		name := []string{"hopA", "hopB", "hopC"}[rnd.IntN(3)]
		switch rnd.IntN(6) {
		case 0, 1:
			down[name] = !down[name]
			f.SetHop(name, Hop{Down: down[name]})
		case 2:
			state := "up"
			if carrier[name] = !carrier[name]; carrier[name] {
				state = "down"
			}
			k.ip(t, "link set "+name+"x "+state)
			k.carrier(t, name, !carrier[name])
		case 3:
			if all := k.objects(t); all != nil {
				k.ip(t, "nexthop del id "+all[rnd.IntN(len(all))])
			}
		case 4:
			p := nth(k, rnd.IntN(12))
			if k.way(t, p) != "-" {
				k.ip(t, "route del "+p.String()+" proto bgp")
			}
		}
		// What the kernel says in its own time is waited for.
		is := ""
		t.Cleanup(func() {
			if t.Failed() && is != "" {
				t.Log(is)
			}
		})
		until(t, "the kernel is as it should be", func() bool {
			flush(t, f)
			is = wrong(t, k, f, model, down, carrier)
			return is == ""
		})
	}
	if w := wrong(t, k, f, model, down, carrier); w != "" {
		t.Error(w)
	}
	if n := len(k.objects(t)); noObjects && n > 0 {
		t.Errorf("%d objects on a kernel without", n)
	}
	for p := range model {
		f.Apply(Change{Prefix: p})
	}
	flush(t, f)
	if n := len(k.objects(t)); n > 0 {
		t.Errorf("%d objects are left", n)
	}
}

// wrong says where the kernel differs from the naive account.
func wrong(t *testing.T, k *kernel, f *FIB, model map[netip.Prefix]wantedWays, down, noCarrier map[string]bool) string {
	t.Helper()
	for p, w := range model {
		usable := usableOf(w.names, !f.HasObjects(), down, noCarrier)
		slices.Sort(usable)
		want := strings.Join(usable, " ")
		if len(usable) == 0 && !w.unreachable {
			want = "-"
		}
		got := k.way(t, p)
		if len(usable) == 1 { // its weight means nothing
			want, got = unweighted(want), unweighted(got)
		}
		if got != want {
			return fmt.Sprintf("%s, of which %+v is wanted, goes to %q, want %q", p, w, got, want)
		}
	}
	return ""
}

// usableOf returns by which of the ways a prefix is to be sent.
func usableOf(names []string, noObjects bool, down, noCarrier map[string]bool) (usable []string) {
	var first, used, reserve []string
	for _, n := range names {
		way, isReserve := strings.CutPrefix(n, "~")
		name, _, _ := strings.Cut(way, "*")
		name, _, _ = strings.Cut(name, ":")
		switch {
		case down[name]:
		case noCarrier[name]:
			first = append(first, way)
		case isReserve:
			reserve = append(reserve, way)
		default:
			used = append(used, way)
		}
	}
	if len(names) > 1 && !noObjects {
		if len(used) == 0 && len(reserve) > 0 {
			return reserve[:1]
		}
		return used
	}
	// A single way does not mind that there is no carrier, if there is none that has one.
	if all := slices.Concat(used, reserve, first); len(all) > 0 {
		return []string{unweighted(all[0])}
	}
	return nil
}

// unweighted is a way without its weight, which one with a gateway does not have here.
func unweighted(way string) string {
	if strings.Contains(way, "*") {
		return way
	}
	name, _, _ := strings.Cut(way, ":")
	return name
}
