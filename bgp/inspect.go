package bgp

import (
	"context"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

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
