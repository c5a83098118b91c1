package engine

import (
	"context"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/osrg/gobgp/v4/api"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// Random questions do not take down the process. What is asked is made of words that mean
// something to GoBGP, in all places.
func TestRandomQuestions(t *testing.T) {
	client, _, srv := inspected(t)
	rng := rand.New(rand.NewPCG(1, 2))
	ctx, cancel := context.WithTimeout(t.Context(), 40*time.Second)
	defer cancel()
	for range 150 {
		path := &api.ListPathRequest{}
		fill(rng, path.ProtoReflect(), 0)
		_, _ = collect(client.ListPath(ctx, path))
		watch := &api.WatchEventRequest{}
		fill(rng, watch.ProtoReflect(), 0)
		short, stop := context.WithTimeout(ctx, time.Millisecond)
		_, _ = collect(client.WatchEvent(short, watch))
		stop()
		for _, m := range []proto.Message{&api.GetTableRequest{}, &api.ListPeerRequest{}, &api.ListPolicyAssignmentRequest{}, &api.ListDefinedSetRequest{}, &api.ListRpkiTableRequest{}} {
			fill(rng, m.ProtoReflect(), 0)
			switch m := m.(type) {
			case *api.GetTableRequest:
				_, _ = client.GetTable(ctx, m)
			case *api.ListPeerRequest:
				_, _ = collect(client.ListPeer(ctx, m))
			case *api.ListPolicyAssignmentRequest:
				_, _ = collect(client.ListPolicyAssignment(ctx, m))
			case *api.ListDefinedSetRequest:
				_, _ = collect(client.ListDefinedSet(ctx, m))
			case *api.ListRpkiTableRequest:
				_, _ = collect(client.ListRpkiTable(ctx, m))
			}
		}
	}
	if _, err := srv.GetBgp(t.Context(), &api.GetBgpRequest{}); err != nil {
		t.Fatal(err)
	}
}

var words = strings.Fields(`10.1.0.0/16 10.1.2.3 10.0.0.0/8 0.0.0.0/0 ::/0 2001:db8:1::/48 2001:db8::1 ::ffff:10.1.2.3 fe80::1%lo
	127.0.9.9 g global p q 10.1.0.0/33 %x 65000:1 :`)

// fill sets about half of a message's fields.
func fill(rng *rand.Rand, m protoreflect.Message, depth int) {
	fields := m.Descriptor().Fields()
	for i := range fields.Len() {
		f := fields.Get(i)
		if rng.IntN(2) == 0 || depth > 4 || f.IsMap() {
			continue
		}
		if f.IsList() {
			l := m.Mutable(f).List()
			for range rng.IntN(3) {
				if f.Kind() == protoreflect.MessageKind {
					fill(rng, l.AppendMutable().Message(), depth+1)
				} else {
					l.Append(anything(rng, f))
				}
			}
		} else if f.Kind() == protoreflect.MessageKind {
			fill(rng, m.Mutable(f).Message(), depth+1)
		} else {
			m.Set(f, anything(rng, f))
		}
	}
}

func anything(rng *rand.Rand, f protoreflect.FieldDescriptor) protoreflect.Value {
	switch n := rng.IntN(4); f.Kind() {
	case protoreflect.BoolKind:
		return protoreflect.ValueOfBool(n > 1)
	case protoreflect.EnumKind:
		return protoreflect.ValueOfEnum(protoreflect.EnumNumber(n))
	case protoreflect.StringKind:
		return protoreflect.ValueOfString(words[rng.IntN(len(words))])
	case protoreflect.Uint32Kind:
		return protoreflect.ValueOfUint32(uint32(n))
	case protoreflect.Uint64Kind:
		return protoreflect.ValueOfUint64(uint64(n))
	default:
		return f.Default()
	}
}
