package main

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
)

// machine is what a reader needs to know of the machine, and nothing that names it.
type machine struct {
	Kernel   string `json:"kernel"`
	CPU      string `json:"cpu"`
	Cores    int    `json:"cores"`
	MemoryMB int    `json:"memory_mb"`
	Go       string `json:"go"`
	// Load is the one-minute load average at the start: other work spoils figures.
	Load float64 `json:"load_at_start"`
	// Halting says that processors without work halted, as the flag -let-halt has it.
	Halting bool `json:"processors_halt,omitempty"`
}

// fact is the machine in one line.
func (m machine) fact() string {
	fact := fmt.Sprintf("%s, %d cores, %d MB; Linux %s; %s; load at start %.1f",
		m.CPU, m.Cores, m.MemoryMB, m.Kernel, m.Go, m.Load)
	if m.Halting {
		fact += "; idle processors halted"
	}
	return fact
}

// describeMachine looks at it; halting says that idle processors halt meanwhile.
func describeMachine(halting bool) machine {
	m := machine{Kernel: kernelRelease(), CPU: runtime.GOARCH, Cores: runtime.NumCPU(), Go: runtime.Version(), Halting: halting}
	if s := fieldOf("/proc/cpuinfo", "model name"); s != "" {
		m.CPU = s
	}
	kb, _ := strconv.Atoi(strings.TrimSuffix(fieldOf("/proc/meminfo", "MemTotal"), " kB"))
	m.MemoryMB = kb >> 10
	if b, err := os.ReadFile("/proc/loadavg"); err == nil {
		first, _, _ := strings.Cut(string(b), " ")
		m.Load, _ = strconv.ParseFloat(first, 64)
	}
	return m
}

func kernelRelease() string {
	b, err := os.ReadFile("/proc/sys/kernel/osrelease")
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(b))
}

// fieldOf is the value of the first "NAME: VALUE" line of a file in /proc, "" if
// there is none.
func fieldOf(path, name string) string {
	b, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(b)) {
		key, value, ok := strings.Cut(line, ":")
		if ok && strings.TrimSpace(key) == name {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// residentBytes is the resident memory of a process and its children (VmRSS of proc(5)): Warren
// consists of two. What they have in common counts twice.
func residentBytes(pid int) (int64, error) { return sum(pid, residentOf) }

// cpuSeconds is the processor time of a process and its children.
func cpuSeconds(pid int) (float64, error) { return sum(pid, cpuSecondsOf) }

// sum adds up a figure of a process and of its children.
func sum[N int64 | float64](pid int, of func(pid int) (N, error)) (N, error) {
	total, err := of(pid)
	if err != nil {
		return 0, err
	}
	// Each thread has those that it has started (proc_pid_task(5)).
	lists, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	if err != nil {
		return 0, err
	}
	for _, list := range lists {
		b, err := os.ReadFile(list)
		if err != nil {
			continue // the thread has ended
		}
		for _, child := range strings.Fields(string(b)) {
			pid, err := strconv.Atoi(child)
			if err != nil {
				return 0, err
			}
			n, err := of(pid)
			if err != nil {
				return 0, err
			}
			total += n
		}
	}
	return total, nil
}

// peakBytes adds up the most resident memory that a process and its children have had each
// (VmHWM of proc(5)), at different times perhaps.
func peakBytes(pid int) (int64, error) { return sum(pid, peakOf) }

func residentOf(pid int) (int64, error) { return memoryOf(pid, "VmRSS") }

func peakOf(pid int) (int64, error) { return memoryOf(pid, "VmHWM") }

// memoryOf is a field of a process's status, in bytes.
func memoryOf(pid int, field string) (int64, error) {
	path := fmt.Sprintf("/proc/%d/status", pid)
	kb, err := strconv.ParseInt(strings.TrimSuffix(fieldOf(path, field), " kB"), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("memory of a measured process: %w", err)
	}
	return kb << 10, nil
}

// threadsOf is the number of a process's threads.
func threadsOf(pid int) (int, error) {
	n, err := strconv.Atoi(fieldOf(fmt.Sprintf("/proc/%d/status", pid), "Threads"))
	if err != nil {
		return 0, fmt.Errorf("threads of a measured process: %w", err)
	}
	return n, nil
}

// descriptorsOf is the number of files and sockets that a process has open.
func descriptorsOf(pid int) (int, error) {
	entries, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	if err != nil {
		return 0, fmt.Errorf("descriptors of a measured process: %w", err)
	}
	return len(entries), nil
}

// clockTicks per second in /proc: USER_HZ is 100 on every Linux.
const clockTicks = 100

// cpuSecondsOf is the processor time of a process and all its threads, user and
// system. What the kernel does in softirq is charged to whoever it interrupts.
func cpuSecondsOf(pid int) (float64, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, fmt.Errorf("processor time of a measured process: %w", err)
	}
	// The name, in brackets, may hold anything; utime and stime are fields 14 and
	// 15 of the line, so 12 and 13 of what follows the last bracket.
	fields := strings.Fields(string(b[strings.LastIndexByte(string(b), ')')+1:]))
	if len(fields) < 13 {
		return 0, fmt.Errorf("processor time of a measured process: cannot read %q", b)
	}
	utime, err1 := strconv.ParseFloat(fields[11], 64)
	stime, err2 := strconv.ParseFloat(fields[12], 64)
	if err1 != nil || err2 != nil {
		return 0, fmt.Errorf("processor time of a measured process: cannot read %q", b)
	}
	return (utime + stime) / clockTicks, nil
}
