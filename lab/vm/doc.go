// Command vm runs a command under a distribution's kernel, in a virtual machine that starts for it:
//
//	go run ./lab/vm [-timeout 10m] [-C DIR] COMMAND [ARG ...]
//
// The kernel of the machine at hand may lack what routers have: WireGuard, bonding, VRF, GRE, netem, BBR.
// The virtual machine has Debian's, for clouds, with all of its modules, and nothing else of its own: its
// root is the root of this host, read only, by virtiofs. So the command finds the programs and the project
// where they are here, and can write to /tmp, /run and /var alone, which are empty and go with it, but for
// the project, if that is below one of these. The current directory is the project; no file of it or of the host's programs
// is to change meanwhile. Output and exit status are the command's.
//
//  1. The kernel's package is downloaded once, below bin/vm, and unpacked there; it is not installed (kernel.go).
//  2. A first root of some megabytes loads what is needed to mount the real one (initrd.go).
//  3. virtiofsd and qemu run until the machine has powered off (machine.go). Processors are emulated, so that
//     the host need not give access to its own: it takes some 5 s to start, and ten times the processor time.
//
// The scenarios in scenarios/ are run so by `make vm`. They are for what is not to be had without these modules.
package main
