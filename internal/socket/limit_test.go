package socket

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"warren/internal/skip"
)

// Which connection goes when one is too many: those of most come first, in the order in which
// something last moved through them.
func TestVictim(t *testing.T) {
	const root, anna, bert = 0, 54321, 54322
	for _, c := range []struct {
		what string
		open []user // the last is the newest
		want int
	}{
		{"one user", []user{anna, anna, anna}, 0},
		{"the fullest", []user{bert, anna, anna, bert, anna}, 1},
		{"the newest user's own", []user{bert, anna, anna, anna}, 1},
		{"as many each", []user{bert, anna, anna, bert}, 0},
		{"not root's for others", []user{root, root, root, anna}, 3},
		{"others' for root", []user{root, root, root, anna, root}, 3},
		{"root's own", []user{root, root, root}, 0},
		{"an unknown one is nobody", []user{root, root, unknown, root}, 2},
	} {
		l := &limited{open: map[*conn]struct{}{}}
		var all []*conn
		for i, u := range c.open {
			n := &conn{of: l, user: u, trusted: u == root}
			n.moved.Store(int64(i))
			l.open[n] = struct{}{}
			all = append(all, n)
		}
		if got := slices.Index(all, l.victim(all[len(all)-1])); got != c.want {
			t.Errorf("%s: %d goes; want %d", c.what, got, c.want)
		}
	}
}

// serveEcho answers each byte with itself.
func serveEcho(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer c.Close()
			b := make([]byte, 1)
			for {
				if _, err := c.Read(b); err != nil {
					return
				}
				if _, err := c.Write(b); err != nil {
					return
				}
			}
		}()
	}
}

// However many connections are silent, a new one is served, and one that works stays.
func TestSilentConnectionsMakeRoom(t *testing.T) {
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	local, err := ListenUnix(t.Context(), filepath.Join(tempDir(t), "w.sock"), 0o600)
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range []net.Listener{tcp, local} {
		const most = 8
		bounded := Limit(l, most).(*limited)
		t.Cleanup(func() { l.Close() })
		go serveEcho(bounded)
		dial := func() net.Conn {
			c, err := net.Dial(l.Addr().Network(), l.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { c.Close() })
			return c
		}
		works := func(c net.Conn) {
			t.Helper()
			c.SetDeadline(time.Now().Add(30 * time.Second))
			if _, err := c.Write([]byte{1}); err != nil {
				t.Fatal(err)
			}
			if _, err := c.Read(make([]byte, 1)); err != nil {
				t.Fatal(err)
			}
		}
		good := dial()
		works(good)
		for range 10 * most {
			works(dial()) // and is silent from then on
			works(good)   // so it is never the one that was silent the longest
		}
		works(dial())
		bounded.mu.Lock()
		if n := len(bounded.open); n > most {
			t.Errorf("%d connections are open; want at most %d", n, most)
		}
		for c := range bounded.open {
			if c.user != user(os.Geteuid()) {
				t.Errorf("a connection of user %d; want %d", c.user, os.Geteuid())
			}
		}
		bounded.mu.Unlock()
	}
}

// A socket that its process has closed belongs to nobody, not to root.
func TestUserOfAClosedSocket(t *testing.T) {
	for _, host := range []string{"127.0.0.1:0", "[::1]:0"} {
		l, err := net.Listen("tcp", host)
		if err != nil {
			if strings.HasPrefix(host, "[") {
				t.Log("no IPv6 here: ", err)
				continue
			}
			t.Fatal(err)
		}
		defer l.Close()
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		accepted, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		defer accepted.Close()
		if got := userOf(accepted); got != user(os.Geteuid()) {
			t.Errorf("%s: user %d; want %d", host, got, os.Geteuid())
		}
		c.Close()
		if got := userOf(accepted); got != unknown {
			t.Errorf("%s: user %d of a closed socket", host, got)
		}
	}
}

// A client on another machine is not taken for the user of a socket that listens here on the client's port.
func TestUserOfAStranger(t *testing.T) {
	for _, c := range []struct{ network, listens, client, server string }{
		{"tcp4", "0.0.0.0:0", "192.0.2.1", "198.51.100.1:8179"},
		{"tcp4", "127.0.0.1:0", "127.0.0.1", "127.0.0.1:8179"}, // a connection that is closed, whose port is listened on
		{"tcp6", "[::]:0", "2001:db8::1", "[2001:db8::2]:8179"},
		{"tcp", "[::]:0", "192.0.2.1", "198.51.100.1:8179"}, // where both families are listened to
	} {
		l, err := net.Listen(c.network, c.listens)
		if err != nil {
			if strings.HasPrefix(c.listens, "[") {
				t.Log("no IPv6 here: ", err)
				continue
			}
			t.Fatal(err)
		}
		port := l.Addr().(*net.TCPAddr).AddrPort().Port()
		client := netip.AddrPortFrom(netip.MustParseAddr(c.client), port)
		if got := userOfTCP(client, netip.MustParseAddrPort(c.server)); got != unknown {
			t.Errorf("%s, where %s is listened on: user %d", client, l.Addr(), got)
		}
		l.Close()
	}
}

// A local client may use IPv4 through a socket of IPv6.
func TestUserOfAMappedSocket(t *testing.T) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	fd, err := unix.Socket(unix.AF_INET6, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		skip.OutsideCI(t, "no IPv6 here: %v", err)
	}
	defer unix.Close(fd)
	to := &unix.SockaddrInet6{Port: l.Addr().(*net.TCPAddr).Port, Addr: netip.MustParseAddr("::ffff:127.0.0.1").As16()}
	if err := unix.Connect(fd, to); err != nil {
		t.Fatal(err)
	}
	accepted, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer accepted.Close()
	if got := userOf(accepted); got != user(os.Geteuid()) {
		t.Errorf("user %d; want %d", got, os.Geteuid())
	}
}

// connectVariable has the test binary connect to an address and wait, as another user.
const connectVariable = "WARREN_SOCKET_CONNECT"

func TestMain(m *testing.M) {
	if network, address, ok := strings.Cut(os.Getenv(connectVariable), " "); ok {
		c, err := net.Dial(network, address)
		if err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		_, _ = c.Read(make([]byte, 1)) // until the test closes it
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// Another user is told from root, by TCP and by a unix socket.
func TestUserOfAnotherUser(t *testing.T) {
	const other = 65534
	if os.Geteuid() != 0 {
		skip.OutsideCI(t, "only root can start processes of other users")
	}
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer tcp.Close()
	dir := tempDir(t)
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, l := range []net.Listener{tcp, listenAt(t, filepath.Join(dir, "w.sock"), 0o666)} {
		cmd := exec.Command("/proc/self/exe")
		cmd.Env = append(os.Environ(), connectVariable+"="+l.Addr().Network()+" "+l.Addr().String())
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: other, Gid: other}}
		var out strings.Builder
		cmd.Stdout = &out
		if err := cmd.Start(); errors.Is(err, syscall.EINVAL) || errors.Is(err, syscall.EPERM) {
			skip.OutsideCI(t, "this user namespace has no other user: %v", err)
		} else if err != nil {
			t.Fatal(err)
		}
		c, err := Limit(l, 2).Accept()
		if err != nil {
			t.Fatal(err)
		}
		if uid, trusted := c.(*conn).User(); uid != other || trusted {
			t.Errorf("%s: user %d, trusted %v", l.Addr(), uid, trusted)
		}
		c.Close()
		if err := cmd.Wait(); err != nil {
			t.Errorf("%v: %s", err, out.String())
		}
	}
}
