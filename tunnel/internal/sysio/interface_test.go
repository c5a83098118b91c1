package sysio

import (
	"errors"
	"net"
	"strings"
	"testing"
)

func TestInterfaceIndex(t *testing.T) {
	lo, err := net.InterfaceByName("lo")
	if err != nil {
		t.Fatal(err)
	}
	if i, err := InterfaceIndex("lo"); err != nil || i != lo.Index {
		t.Errorf("lo: %d, %v; want %d", i, err, lo.Index)
	}
	if _, err := InterfaceIndex("not-there"); !errors.Is(err, ErrNoInterface) {
		t.Errorf("an interface that is not there: %v", err)
	}
	if _, err := InterfaceIndex(strings.Repeat("x", 16)); err == nil || errors.Is(err, ErrNoInterface) {
		t.Errorf("a name that no interface can have: %v", err)
	}
}
