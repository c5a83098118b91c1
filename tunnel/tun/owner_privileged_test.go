//go:build privileged

package tun

import (
	"bufio"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"warren/internal/netns"
	"warren/internal/skip"
)

// stranger is the user and the group of the attacks: nobody.
const stranger = 65534

// The test binary is the attacking process too: its first argument is the interface, its
// descriptors from 3 on are of /dev/net/tun and of the namespace they were opened in.
const attackVariable = "WARREN_TUN_ATTACK"

func TestMain(m *testing.M) {
	switch os.Getenv(attackVariable) {
	case "once":
		attackOnce(os.Args[1])
	case "ever":
		attackEver(os.Args[1])
	default:
		sendingTimeout = time.Minute
		os.Exit(m.Run())
	}
}

func attachTo(fd int, name string, flags uint16) error {
	req, err := unix.NewIfreq(name)
	if err != nil {
		return err
	}
	req.SetUint16(flags)
	return unix.IoctlIfreq(fd, unix.TUNSETIFF, req)
}

var slogDiscard = slog.New(slog.DiscardHandler)

var attackFlags = []uint16{
	unix.IFF_TUN | unix.IFF_NO_PI | unix.IFF_MULTI_QUEUE,
	unix.IFF_TUN | unix.IFF_NO_PI,
	unix.IFF_TUN | unix.IFF_NO_PI | unix.IFF_MULTI_QUEUE | unix.IFF_VNET_HDR,
	unix.IFF_TUN | unix.IFF_NO_PI | unix.IFF_VNET_HDR,
}

// attackOnce prints what each try to attach gave.
func attackOnce(name string) {
	for i, flags := range attackFlags {
		fmt.Println(attachTo(3+i, name, flags))
	}
}

// attackEver tries to attach with each descriptor, from a thread each, until its input is
// closed; an interface that it got at it makes its own, and keeps. Every other thread looks for
// interfaces of any name.
func attackEver(name string) {
	for fd := 3; fd < 3+attackers; fd++ {
		go func() {
			for {
				target := name
				if fd%2 == 0 {
					target = newest(name)
				}
				if attachTo(fd, target, attackFlags[0]) != nil {
					continue
				}
				_ = unix.IoctlSetInt(fd, unix.TUNSETPERSIST, 1)
				_ = unix.IoctlSetInt(fd, unix.TUNSETOWNER, stranger)
				_ = unix.IoctlSetInt(fd, unix.TUNSETGROUP, stranger)
				return
			}
		}()
	}
	fmt.Println("attacking")
	_, _ = bufio.NewReader(os.Stdin).ReadByte()
}

const attackers = 8

// newest is the last interface that there is, or otherwise if there is none.
func newest(otherwise string) string {
	b, err := os.ReadFile("/proc/thread-self/net/dev")
	if err != nil {
		return otherwise
	}
	lines := strings.Split(strings.TrimSpace(string(b)), "\n")
	name, _, _ := strings.Cut(strings.TrimSpace(lines[len(lines)-1]), ":")
	if name == "lo" || strings.Contains(name, " ") {
		return otherwise
	}
	return name
}

// attack is the command of a process of another user that attacks name.
func attack(t *testing.T, how, name string, descriptors int) *exec.Cmd {
	t.Helper()
	cmd := exec.Command("/proc/self/exe", name)
	// The race detector sleeps a second at the end of a process by default.
	cmd.Env = append(os.Environ(), attackVariable+"="+how, "GORACE=atexit_sleep_ms=0")
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Credential: &syscall.Credential{Uid: stranger, Gid: stranger, NoSetGroups: false},
		Pdeathsig:  syscall.SIGKILL,
	}
	for range descriptors {
		// Not every machine lets other users open the device. By udev's default they can.
		f, err := os.OpenFile(devicePath, os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { f.Close() })
		cmd.ExtraFiles = append(cmd.ExtraFiles, f)
	}
	return cmd
}

// needOtherUsers ends the test in a user namespace that has but one user.
func needOtherUsers(t *testing.T) {
	t.Helper()
	m, err := os.ReadFile("/proc/self/uid_map")
	if err != nil {
		t.Fatal(err)
	}
	if f := strings.Fields(string(m)); len(f) == 3 && f[2] == "1" {
		skip.OutsideCI(t, "this user namespace has no other user to attack with")
	}
}

// tries returns what the attack gave.
func tries(t *testing.T, name string) []string {
	t.Helper()
	out, err := attack(t, "once", name, len(attackFlags)).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return strings.Split(strings.TrimSpace(string(out)), "\n")
}

func wantRefused(t *testing.T, when, name string) {
	t.Helper()
	got := tries(t, name)
	for i, flags := range attackFlags {
		// EINVAL is for having, or not having, several queues, and is looked at first.
		if !slices.Contains([]string{unix.EPERM.Error(), unix.EINVAL.Error()}, got[i]) {
			t.Errorf("%s: attaching to %s with %#x as another user: %s", when, name, flags, got[i])
		}
	}
	if !slices.Contains(got, unix.EPERM.Error()) {
		t.Errorf("%s: no try was refused for lack of permission: %q", when, got)
	}
}

func TestOtherUsersCannotAttach(t *testing.T) {
	netns.Test(t)
	needOtherUsers(t)

	// The attack works where nobody owns the interface.
	ip(t, "tuntap", "add", "dev", "open", "mode", "tun", "multi_queue")
	if got := tries(t, "open"); got[0] != "<nil>" {
		t.Fatalf("the attack fails where it should not: %q", got)
	}

	for _, queues := range []int{1, 4} {
		wantRefused(t, "before", "tt0")
		if err := makeOwned("tt0", queues, slogDiscard); err != nil {
			t.Fatal(err)
		}
		wantRefused(t, "between", "tt0")
		d := open(t, Config{Name: "tt0", MTU: 1500, Queues: queues})
		wantRefused(t, "after", "tt0")
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
		wantRefused(t, "in the end", "tt0")
		wantGone(t, "tt0")
	}
}

// A process that tries to attach all the time does not get at the interface in the moment
// when it is made, nor does it keep the tunnel from being made.
func TestAttackWhileMade(t *testing.T) {
	netns.Test(t)
	needOtherUsers(t)
	before := len(descriptors(t))
	var said strings.Builder
	log := slog.New(slog.NewTextHandler(&said, nil))
	for round := range 20 {
		cmd := attack(t, "ever", "tt0", attackers)
		input, err := cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		output, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		if _, err := bufio.NewReader(output).ReadString('\n'); err != nil {
			t.Fatal(err)
		}
		for _, f := range cmd.ExtraFiles {
			f.Close() // the attacker has its own
		}
		const queues = 4
		d, err := Open(Config{Name: "tt0", MTU: 1500, Queues: queues, Logger: log})
		if err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		s, err := look("tt0")
		if err != nil {
			t.Fatal(err)
		}
		if problem := s.shared(queues + 1); problem != "" || s.persist {
			t.Fatalf("round %d: %s; persistent: %v", round, problem, s.persist)
		}
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
		wantGone(t, "tt0")
		input.Close()
		if err := cmd.Wait(); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("made again %d times", strings.Count(said.String(), "making it again"))
	if after := len(descriptors(t)); after != before {
		t.Fatalf("%d descriptors leaked", after-before)
	}
	interfaces, err := net.Interfaces()
	if err != nil || len(interfaces) != 1 {
		t.Fatalf("interfaces are left: %v, %v", interfaces, err)
	}
}

// What another user owned and left behind is replaced like any other leftover; if a
// process of that user holds it, that is said.
func TestLeftoversOfOtherUsers(t *testing.T) {
	netns.Test(t)
	needOtherUsers(t)
	theirs := []string{"tuntap", "add", "dev", "tt0", "mode", "tun", "multi_queue", "user", fmt.Sprint(stranger)}
	ip(t, theirs...)
	d := open(t, Config{Name: "tt0", MTU: 1500, Queues: 2})
	wantRefused(t, "after", "tt0")
	d.Close()

	ip(t, theirs...)
	fd, err := attach("tt0", attackFlags[0])
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if _, err := Open(Config{Name: "tt0", MTU: 1500, Queues: 2}); err == nil || !strings.Contains(err.Error(), "in use by another process") {
		t.Errorf("an interface that is held: %v", err)
	}
}

func TestMend(t *testing.T) {
	netns.Test(t)
	d := open(t, Config{Name: "tt0", MTU: 1500, Queues: 2})
	outside, err := attach("tt0", attackFlags[0]|unix.IFF_VNET_HDR) // as root can
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(outside)
	for _, up := range []bool{false, true} {
		if err := d.SetCarrier(up); err != nil {
			t.Fatal(err)
		}
		for what, change := range map[string]func() error{
			"carrier by ioctl": func() error {
				carrier := 1
				if up {
					carrier = 0
				}
				return unix.IoctlSetPointerInt(outside, unix.TUNSETCARRIER, carrier)
			},
			"carrier by netlink": func() error {
				ip(t, "link", "set", "tt0", "carrier", map[bool]string{true: "off", false: "on"}[up])
				return nil
			},
			"persistence by ioctl": func() error { return unix.IoctlSetInt(outside, unix.TUNSETPERSIST, 1) },
			"owner by ioctl":       func() error { return unix.IoctlSetInt(outside, unix.TUNSETOWNER, 0x7fff0000) },
		} {
			if strings.HasPrefix(what, "owner") && !mapped(t) {
				continue
			}
			if err := change(); err != nil {
				t.Fatalf("%s: %v", what, err)
			}
			want, _, _ := strings.Cut(what, " ")
			if changed, err := d.Mend(); err != nil || !slices.Equal(changed, []string{want}) {
				t.Errorf("%s with carrier %v: mended %q, %v", what, up, changed, err)
			}
			s, err := look("tt0")
			if err != nil || s.carrier != up || s.persist || s.shared(4) != "" {
				t.Errorf("%s with carrier %v: left as %+v, %v", what, up, s, err)
			}
			if changed, err := d.Mend(); err != nil || len(changed) > 0 {
				t.Errorf("mended once more: %q, %v", changed, err)
			}
		}
	}
	unix.Close(outside)
	d.Close()
	wantGone(t, "tt0")
	if _, err := d.Mend(); !errors.Is(err, os.ErrClosed) {
		t.Errorf("of a device that is closed: %v", err)
	}
}

// mapped reports whether all users exist here, as outside of a user namespace.
func mapped(t *testing.T) bool {
	t.Helper()
	m, err := os.ReadFile("/proc/self/uid_map")
	if err != nil {
		t.Fatal(err)
	}
	f := strings.Fields(string(m))
	return len(f) == 3 && f[2] == "4294967295"
}
