package engine

import (
	"context"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/osrg/gobgp/v4/api"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"warren/internal/socket"
)

// changes are the RPCs that must be refused. One that is on neither side here
// is new, and has to be thought about.
var changes = strings.Fields(`StartBgp StopBgp AddPeer DeletePeer UpdatePeer ResetPeer ShutdownPeer EnablePeer
	DisablePeer AddPeerGroup DeletePeerGroup UpdatePeerGroup AddDynamicNeighbor DeleteDynamicNeighbor AddPath
	DeletePath AddPathStream AddVrf DeleteVrf AddPolicy DeletePolicy SetPolicies AddDefinedSet DeleteDefinedSet
	AddStatement DeleteStatement AddPolicyAssignment DeletePolicyAssignment SetPolicyAssignment AddRpki DeleteRpki
	EnableRpki DisableRpki ResetRpki EnableZebra EnableMrt DisableMrt AddBmp DeleteBmp SetLogLevel`)

var looks = strings.Fields(`GetBgp ListPeer ListPeerGroup ListDynamicNeighbor ListPath GetTable WatchEvent ListVrf
	ListPolicy ListDefinedSet ListStatement ListPolicyAssignment ListRpki ListRpkiTable ListBmp`)

func TestEveryRPCIsClassified(t *testing.T) {
	methods := api.File_api_gobgp_proto.Services().ByName("GoBgpService").Methods()
	if methods.Len() < 50 {
		t.Fatalf("only %d RPCs found", methods.Len())
	}
	for i := range methods.Len() {
		name := string(methods.Get(i).Name())
		got := inspects("/api.GoBgpService/" + name)
		switch {
		case slices.Contains(looks, name):
			if !got {
				t.Errorf("%s is refused", name)
			}
		case slices.Contains(changes, name):
			if got {
				t.Errorf("%s is allowed", name)
			}
		default:
			t.Errorf("%s is new: is it for looking?", name)
		}
	}
}

// serveInspection serves inspection until the test ends, with at most so many connections.
func serveInspection(t testing.TB, i *inspection, connections int) (addr string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	serveListener(t, i, socket.Limit(l, connections))
	return l.Addr().String()
}

func serveListener(t testing.TB, i *inspection, l net.Listener) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	s := &Speaker{inspection: i}
	go func() { done <- s.ServeInspection(ctx, l) }()
	t.Cleanup(func() {
		cancel()
		select {
		case err := <-done:
			if err != nil {
				t.Errorf("ServeInspection: %v", err)
			}
		case <-time.After(40 * time.Second):
			t.Error("ServeInspection did not return")
		}
	})
}

func inspectClient(t testing.TB, addr string) api.GoBgpServiceClient {
	t.Helper()
	conn, err := grpc.NewClient(addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return api.NewGoBgpServiceClient(conn)
}

func TestInspectionPort(t *testing.T) {
	s := startSpeaker(t, 64512, "10.0.0.1")
	client := inspectClient(t, serveInspection(t, s.inspection, 8))
	if rsp, err := client.GetBgp(t.Context(), &api.GetBgpRequest{}, grpc.WaitForReady(true)); err != nil || rsp.Global.Asn != 64512 {
		t.Errorf("GetBgp: %v, %v", rsp, err)
	}
	_, err := client.AddPeer(t.Context(), &api.AddPeerRequest{})
	if status.Code(err) != codes.PermissionDenied || !strings.Contains(err.Error(), "inspects only") {
		t.Errorf("AddPeer: %v", err)
	}
	stream, err := client.AddPathStream(t.Context())
	if err == nil {
		_, err = stream.CloseAndRecv()
	}
	if status.Code(err) != codes.PermissionDenied {
		t.Errorf("AddPathStream: %v", err)
	}
}

// A listener that fails is reported, so that another can be made.
func TestInspectionEndsWithItsListener(t *testing.T) {
	s := startSpeaker(t, 64512, "10.0.0.1")
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	if err := s.ServeInspection(t.Context(), l); err == nil || !strings.Contains(err.Error(), l.Addr().String()) {
		t.Errorf("%v", err)
	}
}

func TestNewSaysWhatIsWrong(t *testing.T) {
	for _, tt := range []struct {
		cfg  Config
		says string
	}{
		{Config{ASN: 0, RouterID: netip.MustParseAddr("10.0.0.1")}, "asn"},
		{Config{ASN: 64512}, "router_id"},
		{Config{ASN: 64512, RouterID: netip.MustParseAddr("::1")}, "router_id"},
	} {
		if _, err := New(tt.cfg); err == nil || !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%+v: %v", tt.cfg, err)
		}
	}
}
