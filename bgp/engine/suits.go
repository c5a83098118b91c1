package engine

import (
	"errors"
	"fmt"
	"reflect"

	"github.com/osrg/gobgp/v4/pkg/server"
)

// errReleased is for what GoBGP as released would do wrong.
var errReleased = errors.New("route_reflector_client and as_override need the changes to GoBGP that `make build` makes (tools/amend): this binary was built without them")

// amended reports whether this binary has GoBGP with the changes of tools/amend. One of them
// shows in a type: the number of shards of a table.
var amended = shards(reflect.TypeFor[server.BgpServer](), "globalRib", "tables", "destinations", "shards") == 64

// shards is the length of the array at the end of a path of fields, of which those on the
// way are pointers or maps to pointers; 0 if there is no such path.
func shards(t reflect.Type, path ...string) int {
	for _, name := range path {
		for t.Kind() == reflect.Pointer || t.Kind() == reflect.Map {
			t = t.Elem()
		}
		if t.Kind() != reflect.Struct {
			return 0
		}
		field, ok := t.FieldByName(name)
		if !ok {
			return 0
		}
		t = field.Type
	}
	if t.Kind() != reflect.Array {
		return 0
	}
	return t.Len()
}

// suits reports what of n this router cannot do.
func (s *Speaker) suits(n *Neighbor) error {
	internal := n.ASN == s.cfg.ASN
	switch {
	case n.RouteReflectorClient && !internal:
		return fmt.Errorf("route_reflector_client: is for iBGP, and the peer is in AS %d", n.ASN)
	case n.ASOverride && internal:
		return fmt.Errorf("as_override: is for eBGP, and the peer is in this router's AS %d", n.ASN)
	case !amended && (n.RouteReflectorClient || n.ASOverride):
		return errReleased
	}
	return nil
}
