package handover

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// stage has this test's program be the daemon of TestExec.
const stage = "HANDOVER_TEST"

func TestMain(m *testing.M) {
	if os.Getenv(stage) != "" {
		if err := daemon(); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// daemon replaces itself once, and then says what it has got.
func daemon() error {
	state, err := Take()
	if err != nil {
		return err
	}
	if state == nil {
		r, w, err := os.Pipe()
		if err != nil {
			return err
		}
		fmt.Fprint(w, "through a descriptor")
		w.Close()
		program, err := Program()
		if err != nil {
			return err
		}
		if err := Exec("/no/such/program", os.Args, nil, []int{int(r.Fd())}); err == nil {
			return fmt.Errorf("no error")
		}
		return Exec(program, os.Args, fmt.Appendf(nil, "%d %d", os.Getpid(), r.Fd()), []int{int(r.Fd())})
	}
	var pid, fd int
	if _, err := fmt.Sscan(string(state), &pid, &fd); err != nil {
		return err
	}
	if err := Keep([]int{fd}); err != nil {
		return err
	}
	text, err := io.ReadAll(os.NewFile(uintptr(fd), "pipe"))
	if err != nil {
		return err
	}
	left := strings.Contains(strings.Join(os.Environ(), "\n"), variable)
	fmt.Printf("same process: %v, %s, variable left: %v\n", pid == os.Getpid(), text, left)
	return nil
}

func TestExec(t *testing.T) {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), stage+"=1", variable+"=1:3") // another process's, which is not taken
	out, err := cmd.CombinedOutput()
	if err != nil || string(out) != "same process: true, through a descriptor, variable left: false\n" {
		t.Errorf("%v, %s", err, out)
	}
}

// What is no memory file of Exec's is refused.
func TestTakeRefuses(t *testing.T) {
	f, err := os.CreateTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	t.Setenv(variable, fmt.Sprintf("%d:%d", os.Getpid(), f.Fd()))
	if state, err := Take(); err == nil {
		t.Errorf("taken: %q", state)
	}
}

func TestTry(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	code, says, err := Try(ctx, "/bin/sh", []string{"sh", "-c", "echo not heard; echo it cannot >&2; exit 3"})
	if code != 3 || says != "it cannot" || err != nil {
		t.Errorf("%d, %q, %v", code, says, err)
	}
	if _, _, err := Try(ctx, "/no/such/program", nil); err == nil {
		t.Error("no error of a program that is not there")
	}
	ctx, cancel = context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, _, err := Try(ctx, "/bin/sh", []string{"sh", "-c", "exec sleep 600"}); err == nil {
		t.Error("a program that does not end is waited for")
	}
	if _, says, _ := Try(t.Context(), "/bin/sh", []string{"sh", "-c", "head -c 1000000 /dev/zero >&2"}); len(bytes.Trim([]byte(says), "\x00")) != 0 || len(says) > maxOutput {
		t.Errorf("%d bytes", len(says))
	}
}
