package engine

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
// gives them. What it costs is bounded (inspectbounds.go), but for how many connections there are,
// which l has to bound. A connection of l's may have a method User, as those of package
// internal/socket do: then no user gets in the way of another's questions.
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
		grpc.WaitForHandlers(true),
		grpc.KeepaliveParams(grpckeepalive.ServerParameters{MaxConnectionIdle: idleTime, Time: probeEvery, Timeout: probeTime}),
	)
	api.RegisterGoBgpServiceServer(srv, s.inspection)
	stop := context.AfterFunc(ctx, srv.Stop)
	defer stop()
	err := srv.Serve(knownListener{l})
	srv.Stop() // waits for what is being answered
	if ctx.Err() != nil {
		return nil
	}
	if err == nil {
		err = net.ErrClosed
	}
	return fmt.Errorf("bgp: serve the gobgp command on %s: %w", l.Addr(), err)
}

// knownListener makes connections that an RPC can find.
type knownListener struct{ net.Listener }

func (l knownListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	k := knownConn{Conn: c, client: client{conn: c, user: -1}}
	// What a listener of package internal/socket knows of its clients.
	if u, ok := c.(interface {
		User() (uid int64, trusted bool)
	}); ok {
		k.client.user, k.client.trusted = u.User()
	}
	return k, nil
}

type knownConn struct {
	net.Conn
	client client
}

// RemoteAddr is what gRPC hands on to the RPC.
func (c knownConn) RemoteAddr() net.Addr { return knownAddr{c.Conn.RemoteAddr(), c.client} }

type knownAddr struct {
	net.Addr
	client client
}

// client is the process at the other end of a connection.
type client struct {
	conn    io.Closer // closing it is the one way to end an RPC whose handler is inside of Send
	user    int64     // -1 if that is not known
	trusted bool      // root, or this process's own user: does not make room for others
}

// clientOf returns the client of an RPC.
func clientOf(ctx context.Context) client {
	if p, ok := peer.FromContext(ctx); ok {
		if a, ok := p.Addr.(knownAddr); ok {
			return a.client
		}
	}
	return client{conn: io.NopCloser(nil), user: -1}
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
