package bgp

import (
	"context"
	"fmt"
	"io"
	"net"
	"strings"
	"time"

	"github.com/osrg/gobgp/v4/api"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	grpckeepalive "google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
)

// Bounds of one connection of the gobgp command. Its listener bounds how many there are.
const (
	maxStreams  = 8        // RPCs at a time
	maxQuestion = 64 << 10 // bytes of a request: all of them name a few prefixes at most
	maxHeaders  = 16 << 10 // bytes
	grpcBuffer  = 8 << 10  // bytes, each way; grpc's default is 32 KiB
	setupTime   = 5 * time.Second
	idleTime    = 5 * time.Minute // without an RPC
	probeEvery  = 30 * time.Second
	probeTime   = 10 * time.Second
)

// ServeInspection answers the gobgp command on l, which may look and not change anything, until
// ctx is done or l fails; it closes l. The RPCs are those of GoBGP's API, with answers as GoBGP
// gives them. What it costs is bounded, see inspectbounds.go, but how many connections there are is
// for l to bound.
func (s *Speaker) ServeInspection(ctx context.Context, l net.Listener) error {
	srv := grpc.NewServer(
		grpc.UnaryInterceptor(inspectUnary),
		grpc.StreamInterceptor(inspectStream),
		grpc.MaxConcurrentStreams(maxStreams),
		grpc.MaxRecvMsgSize(maxQuestion),
		grpc.MaxHeaderListSize(maxHeaders),
		grpc.ReadBufferSize(grpcBuffer),
		grpc.WriteBufferSize(grpcBuffer),
		grpc.ConnectionTimeout(setupTime),
		grpc.KeepaliveParams(grpckeepalive.ServerParameters{MaxConnectionIdle: idleTime, Time: probeEvery, Timeout: probeTime}),
	)
	api.RegisterGoBgpServiceServer(srv, s.inspection)
	stop := context.AfterFunc(ctx, srv.Stop)
	defer stop()
	err := srv.Serve(closableListener{l})
	if ctx.Err() != nil {
		return nil
	}
	srv.Stop()
	if err == nil {
		err = net.ErrClosed
	}
	return fmt.Errorf("bgp: serve the gobgp command on %s: %w", l.Addr(), err)
}

// closableListener makes connections that an RPC can find and close.
type closableListener struct{ net.Listener }

func (l closableListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return closableConn{c}, nil
}

type closableConn struct{ net.Conn }

// RemoteAddr is what gRPC hands on to the RPC.
func (c closableConn) RemoteAddr() net.Addr { return closableAddr{c.Conn.RemoteAddr(), c.Conn} }

type closableAddr struct {
	net.Addr
	io.Closer
}

// connectionOf returns the connection that an RPC came on. Closing it is the one way to end an
// RPC whose client does not read: its handler is inside of Send then.
func connectionOf(ctx context.Context) io.Closer {
	if p, ok := peer.FromContext(ctx); ok {
		if c, ok := p.Addr.(closableAddr); ok {
			return c
		}
	}
	return io.NopCloser(nil)
}

// The port for the gobgp command is for looking. RPCs whose names begin with
// one of these only look; all others are refused, those of later releases
// included.
var inspectPrefixes = []string{"List", "Get", "Watch"}

// inspects reports whether an RPC, given as /package.Service/Method, only
// looks.
func inspects(fullMethod string) bool {
	method := fullMethod[strings.LastIndexByte(fullMethod, '/')+1:]
	for _, p := range inspectPrefixes {
		if strings.HasPrefix(method, p) {
			return true
		}
	}
	return false
}

var errInspectOnly = status.Error(codes.PermissionDenied,
	"warren: this port inspects only; change warren.toml or peers.d and run `warren reload`")

func inspectUnary(ctx context.Context, req any, info *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (any, error) {
	if !inspects(info.FullMethod) {
		return nil, errInspectOnly
	}
	return handle(ctx, req)
}

func inspectStream(srv any, stream grpc.ServerStream, info *grpc.StreamServerInfo, handle grpc.StreamHandler) error {
	if !inspects(info.FullMethod) {
		return errInspectOnly
	}
	return handle(srv, stream)
}
