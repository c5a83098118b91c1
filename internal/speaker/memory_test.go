package speaker

import (
	"errors"
	"testing"
)

func TestDefaultMemory(t *testing.T) {
	if got := memTotal([]byte("MemTotal:       16317412 kB\nMemFree: 1 kB\n")); got != 16317412<<10 {
		t.Errorf("the machine has %d", got)
	}
	limits := map[string]string{"/": "max\n", "/system.slice": "1073741824\n", "/system.slice/warren.service": "max\n"}
	read := func(group string) ([]byte, error) {
		if text, ok := limits[group]; ok {
			return []byte(text), nil
		}
		return nil, errors.New("no such group")
	}
	for cgroup, want := range map[string]int64{
		"0::/system.slice/warren.service\n":              1 << 30,
		"1:memory:/x\n0::/system.slice/warren.service\n": 1 << 30,
		"0::/\n":           1 << 40,
		"0::/user.slice\n": 1 << 40,
		"":                 1 << 40,
	} {
		if got := groupMemory([]byte(cgroup), read); got != want {
			t.Errorf("%q: %d, want %d", cgroup, got, want)
		}
	}
	if m := defaultMemory(); m < 64<<20 || m > 1<<40 {
		t.Errorf("here it is %d", m)
	}
	for most, want := range map[int64]int64{64 << 20: 64<<20/10*9 - 16<<20, 32 << 20: 16 << 20} {
		if got := memoryLimit(most); got != want {
			t.Errorf("of %d the runtime may take %d, want %d", most, got, want)
		}
	}
}
