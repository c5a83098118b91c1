package engine

import (
	"fmt"
	"net"
	"reflect"
	"unsafe"

	"github.com/osrg/gobgp/v4/pkg/server"
)

// acceptBacklog is how many accepted connections may wait for GoBGP's loop.
const acceptBacklog = 32

// openAcceptChannel gives GoBGP an accept channel and returns the end to send
// on. It must be called before Serve, which selects on the channel.
//
// GoBGP makes that channel only together with listeners of its own, which are
// fixed when it starts and would listen for everybody. Here port 179 has to be
// open inside tunnels only, and tunnels come and go, so the listeners are this
// package's. GoBGP has no exported way to take their connections: hence the
// unexported field. It is written before any goroutine of GoBGP reads it, and
// if another release has renamed or retyped it, this fails and New with it.
func openAcceptChannel(srv *server.BgpServer) (chan<- net.Conn, error) {
	const name = "acceptCh"
	ch := make(chan net.Conn, acceptBacklog)
	field, ok := reflect.TypeOf(srv).Elem().FieldByName(name)
	if !ok || field.Type != reflect.TypeOf(ch) {
		return nil, fmt.Errorf("bgp: this GoBGP release has no field BgpServer.%s of type %T, which is how it is given connections: build with the version in go.mod", name, ch)
	}
	*(*chan net.Conn)(unsafe.Add(unsafe.Pointer(srv), field.Offset)) = ch
	return ch, nil
}
