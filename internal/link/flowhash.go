package link

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// The policies of the kernel's flow hash, which picks one of several ways to a prefix
// (Documentation/networking/ip-sysctl.rst, fib_multipath_hash_policy).
const (
	hashAddresses = "0" // by source and destination alone: the default
	hashPorts     = "1" // by protocol and ports as well
)

var hashPolicies = []string{"ipv4/fib_multipath_hash_policy", "ipv6/fib_multipath_hash_policy"}

// FlowHash sets how the kernel spreads flows over several ways to a prefix. It is a setting of
// the whole network namespace. The zero value is ready; it is not safe for concurrent use.
type FlowHash struct {
	root string   // "": sysctlRoot
	set  []string // what this FlowHash has changed
}

// Changed returns what this FlowHash has changed, for [ResumeFlowHash] in the next program.
func (h *FlowHash) Changed() []string { return h.set }

// ResumeFlowHash returns a FlowHash that takes back what another one has changed.
func ResumeFlowHash(changed []string) *FlowHash {
	h := &FlowHash{}
	for _, p := range hashPolicies {
		if slices.Contains(changed, p) {
			h.set = append(h.set, p)
		}
	}
	return h
}

// SetByPorts has flows between the same two addresses spread by their ports too, for both
// families, or takes that back. A policy other than the kernel's default is somebody's choice and
// stays as it is. What the kernel does not have, as IPv6, is left out.
func (h *FlowHash) SetByPorts(on bool) error {
	root, paths := h.root, hashPolicies
	if root == "" {
		root = sysctlRoot
	}
	from, to := hashAddresses, hashPorts
	if !on {
		paths, from, to = h.set, hashPorts, hashAddresses
		h.set = nil
	}
	var errs []error
	for _, p := range paths {
		file := filepath.Join(root, p)
		have, err := os.ReadFile(file)
		if err == nil && strings.TrimSpace(string(have)) != from {
			continue
		}
		if err == nil {
			err = setSysctl(file, to)
		}
		switch {
		case errors.Is(err, fs.ErrNotExist):
		case err != nil:
			errs = append(errs, fmt.Errorf("link: set net.%s = %s: %w", strings.ReplaceAll(p, "/", "."), to, err))
		case on:
			h.set = append(h.set, p)
		}
	}
	return errors.Join(errs...)
}
