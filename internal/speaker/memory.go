package speaker

import (
	"bytes"
	"fmt"
	"os"
	"path"
	"strconv"
	"strings"
	"time"
)

const (
	// memoryInterval is how often the process's memory is looked at: a flood of prefixes
	// takes of the order of 100 MB a second.
	memoryInterval = 100 * time.Millisecond
	// binarySize is about what of the process's memory is the binary, which the Go runtime does not count.
	binarySize = 16 << 20
	leastLimit = 16 << 20
)

// memoryLimit is what the Go runtime of a process is to keep to (GOMEMLIMIT) that may take memoryMax.
func memoryLimit(memoryMax int64) int64 { return max(memoryMax/10*9-binarySize, leastLimit) }

// watchMemory ends the process if it takes more memory than it may.
func (p *process) watchMemory() error {
	tick := time.NewTicker(memoryInterval)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-p.ended.Done():
			return nil
		}
		most := p.s.limitsNow().memoryMax
		if size, ok := p.residentSize(); ok && size > most {
			return broken("it took more than the %d MiB of memory that it may (memory_max): raise it, or have peers announce less",
				most>>20)
		}
	}
}

// residentSize is how much memory the process takes, in bytes (proc_pid_statm(5)).
func (p *process) residentSize() (int64, bool) {
	b := make([]byte, 128)
	n, _ := p.memory.ReadAt(b, 0)
	fields := strings.Fields(string(b[:n]))
	if len(fields) < 2 {
		return 0, false
	}
	pages, err := strconv.ParseInt(fields[1], 10, 64)
	return pages * int64(os.Getpagesize()), err == nil
}

// defaultMemory is half of the memory that this process may have: the machine's, or what its control
// groups allow.
func defaultMemory() int64 {
	most := int64(1 << 40)
	if b, err := os.ReadFile("/proc/meminfo"); err == nil {
		most = min(most, memTotal(b))
	}
	if b, err := os.ReadFile("/proc/self/cgroup"); err == nil {
		most = min(most, groupMemory(b, func(group string) ([]byte, error) {
			return os.ReadFile(path.Join("/sys/fs/cgroup", group, "memory.max"))
		}))
	}
	return max(most/2, 64<<20)
}

// memTotal reads /proc/meminfo.
func memTotal(meminfo []byte) int64 {
	for line := range bytes.Lines(meminfo) {
		var kb int64
		if _, err := fmt.Sscanf(string(line), "MemTotal: %d kB", &kb); err == nil {
			return kb << 10
		}
	}
	return 1 << 40
}

// groupMemory is the least that the process's control group and those above it allow, by
// /proc/self/cgroup of version 2 (cgroups(7)).
func groupMemory(cgroup []byte, memoryMax func(group string) ([]byte, error)) int64 {
	most := int64(1 << 40)
	for line := range bytes.Lines(cgroup) {
		group, ok := strings.CutPrefix(strings.TrimSpace(string(line)), "0::")
		for ok {
			if b, err := memoryMax(group); err == nil {
				if n, err := strconv.ParseInt(strings.TrimSpace(string(b)), 10, 64); err == nil {
					most = min(most, n)
				}
			}
			ok = group != "/" && group != "."
			group = path.Dir(group)
		}
	}
	return most
}
