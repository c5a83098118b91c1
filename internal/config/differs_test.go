package config

import (
	"crypto/x509"
	"net/netip"
	"reflect"
	"slices"
	"testing"
	"time"
)

// alike are the fields that two equal configurations may differ in: where something was read from.
var alike = []string{"PasswordFile", "File"}

// TestNothingDiffersWithoutAKey changes one field after the other: each change is seen, and there is a key
// to blame. It holds for fields still to come.
func TestNothingDiffersWithoutAKey(t *testing.T) {
	keysOf := func(a, b Peer) (keys []string) {
		x, y := a.Tunnels[0], b.Tunnels[0]
		for _, k := range [][]string{x.RemadeBy(y), x.SharedBy(y), x.MarkedBy(y), x.Trust.KnownBy(y.Trust), a.BGP.SessionBy(b.BGP), a.BGP.FilteredBy(b.BGP),
			a.BGP.LAN.PlacedBy(b.BGP.LAN), a.BGP.LAN.SecuredBy(b.BGP.LAN)} {
			keys = append(keys, k...)
		}
		return keys
	}
	changed := 0
	var each func(path string, v reflect.Value, whole func() Peer)
	before := func() Peer { return Peer{Name: "b", Tunnels: []Tunnel{{}}} }
	check := func(path string, next Peer) {
		changed++
		if before().Equal(next) {
			t.Errorf("%s: no difference is seen", path)
		}
		if keys := keysOf(before(), next); len(keys) != 1 && path != "Tunnels.Congestion" && path != "Tunnels.Trust.Method" {
			t.Errorf("%s: the keys %v, want one", path, keys)
		}
	}
	each = func(path string, v reflect.Value, whole func() Peer) {
		for i := range v.NumField() {
			f, at := v.Field(i), path+"."+v.Type().Field(i).Name
			if slices.Contains(alike, v.Type().Field(i).Name) || !v.Type().Field(i).IsExported() {
				continue
			}
			if f.Kind() == reflect.Struct && f.Type() != reflect.TypeFor[netip.Addr]() && f.Type() != reflect.TypeFor[netip.Prefix]() {
				each(at, f, whole)
				continue
			}
			was := reflect.ValueOf(f.Interface())
			f.Set(another(t, at, f.Type()))
			check(at, whole())
			f.Set(was)
		}
	}
	tunnel := Tunnel{}
	each("Tunnels", reflect.ValueOf(&tunnel).Elem(), func() Peer { p := before(); p.Tunnels = []Tunnel{tunnel}; return p })
	b := PeerBGP{}
	each("BGP", reflect.ValueOf(&b).Elem(), func() Peer { p := before(); p.BGP = b; return p })
	if changed < 40 {
		t.Errorf("only %d fields were changed", changed)
	}
}

// another is a value of the type that is not the zero one.
func another(t *testing.T, at string, of reflect.Type) reflect.Value {
	switch of {
	case reflect.TypeFor[netip.Addr]():
		return reflect.ValueOf(netip.MustParseAddr("10.0.0.1"))
	case reflect.TypeFor[netip.Prefix]():
		return reflect.ValueOf(netip.MustParsePrefix("10.0.0.0/8"))
	case reflect.TypeFor[*x509.CertPool]():
		return reflect.ValueOf(x509.NewCertPool())
	case reflect.TypeFor[*Invitation]():
		return reflect.ValueOf(&Invitation{File: "x"})
	case reflect.TypeFor[time.Duration]():
		return reflect.ValueOf(time.Second)
	}
	v := reflect.New(of).Elem()
	switch of.Kind() {
	case reflect.String:
		v.SetString("x")
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int64:
		v.SetInt(1)
	case reflect.Uint16, reflect.Uint32, reflect.Uint8:
		v.SetUint(1)
	case reflect.Slice:
		v.Set(reflect.Append(v, reflect.Zero(of.Elem())))
	default:
		t.Fatalf("%s: a %v cannot be changed yet", at, of)
	}
	return v
}

// That a key of warren.toml announces something else is said with what.
func TestAnnouncedBy(t *testing.T) {
	n := func(texts ...string) (all []netip.Prefix) {
		for _, x := range texts {
			all = append(all, netip.MustParsePrefix(x))
		}
		return all
	}
	a, b := Announce{Networks: n("10.1.0.0/16", "10.2.0.0/16")}, Announce{Networks: n("10.2.0.0/16", "10.3.0.0/16"), Interfaces: []string{"x"}}
	if got := a.AnnouncedBy(b); !slices.Equal(got, []string{"announce.networks", "announce.interfaces"}) {
		t.Errorf("keys %v", got)
	}
	added, removed := a.NetworksBy(b)
	if !slices.Equal(added, n("10.3.0.0/16")) || !slices.Equal(removed, n("10.1.0.0/16")) {
		t.Errorf("added %v, removed %v", added, removed)
	}
}

// Which of a secret's keys is this end's is said by nothing over TLS: another transport is no other AS number.
func TestAnotherTransportIsNoOtherKey(t *testing.T) {
	over := func(transport string, first bool) Tunnel {
		return Tunnel{Transport: transport, Trust: Trust{Method: TrustSecret, First: first}}
	}
	for _, c := range []struct {
		a, b Tunnel
		want []string
	}{
		{over(TransportTLS, false), over(TransportWireGuard, true), nil},
		{over(TransportAuto, true), over(TransportTLS, false), nil},
		{over(TransportWireGuard, false), over(TransportAuto, true), []string{"asn"}},
	} {
		if got := c.a.KnownBy(c.b); !slices.Equal(got, c.want) {
			t.Errorf("%s to %s: %v, want %v", c.a.Transport, c.b.Transport, got, c.want)
		}
	}
}
