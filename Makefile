# Warren: every task a developer or a machine needs, one target each.
#
# On a machine with only Go, `make demo` and `make test` do all their own
# set-up: they call `deps`, which installs the Debian packages that the lab's
# topologies use. Without root they run themselves in a user namespace where
# the kernel allows it, and say what is missing where it does not.

SHELL       := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

VERSION ?= $(shell git describe --tags --always --abbrev=8 --dirty 2>/dev/null || echo unknown)
# Which commit it is, for `warren version`; Go does not write it into a program that is built
# with -modfile. No time of the build is in anything that is built, so that it can be built again.
COMMIT  := $(shell git rev-parse HEAD 2>/dev/null)
EPOCH   := $(or $(SOURCE_DATE_EPOCH),$(shell git log -1 --format=%ct 2>/dev/null),0)
LDFLAGS := -X main.version=$(VERSION) -X main.commit=$(COMMIT) -X main.commitTime=$(EPOCH)
# Each fuzz target gets this much time in `make fuzz`.
FUZZTIME ?= 20s
# Options of the bench, e.g. BENCHFLAGS="-rounds 1 -seconds 2".
BENCHFLAGS ?=

# What the lab, the demo and the bench call, and the package that has it.
PACKAGES := bird2 frr openbgpd ethtool iproute2 iperf3 iputils-ping nftables openvpn procps \
            wireguard-tools netcat-openbsd openssl util-linux systemd \
            chromium-headless-shell curl prometheus \
            man-db mandoc systemd-container rpm cpio bash-completion \
            zsh fish qemu-user buildah \
            gcc libc6-dev # for the race detector
# Their daemons are run by hand in the lab, and of prometheus only promtool is. What was not there
# before is neither started when it is installed nor at boot.
ROUTING  := bird frr openbgpd bgplgd prometheus
TOOLS    := bird vtysh bgpctl ethtool ip iperf3 ping nft openvpn sysctl wg nc openssl unshare systemd-analyze curl promtool \
            man mandoc systemd-nspawn rpm cpio zsh fish qemu-aarch64 buildah gcc chromium-headless-shell

.PHONY: help build bin deps check licenses test test-unit test-privileged lab vm vm-few demo demo-down bench fuzz clean

help: ## show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  %-16s %s\n", $$1, $$2}'

# Warren is built and tested with a copy of GoBGP in which a few places are
# changed: tools/amend/changes.go says which, and why. A plain `go build` works too,
# with GoBGP as released; it needs more memory and time, does not bound what waits for
# a peer that reads slowly, and refuses the keys route_reflector_client and as_override.
# Tests of those need the copy.
GOBGP   := github.com/osrg/gobgp/v4
AMENDED := -modfile bin/warren.mod
bin/warren.mod: go.mod go.sum tools/go.mod $(wildcard tools/amend/*.go)
	@mkdir -p bin
	@go mod download $(GOBGP)
	go run -C tools ./amend "$$(go list -m -f '{{.Dir}}' $(GOBGP))" "$(CURDIR)/bin/gobgp-module"
	@cp go.sum bin/warren.sum; cp go.mod $@.tmp; \
	go mod edit -replace $(GOBGP)=./bin/gobgp-module $@.tmp; mv $@.tmp $@

# gRPC's traces are pages of HTML that nobody looks at. The templates they are made of call methods by names that are known
# at run time only, for which the linker would keep all exported methods of everything: 7 MB of the binary.
TAGS := grpcnotrace

# Without cgo the binary runs on any Linux, whatever its C library, and takes 6 MB
# less memory. Names are resolved by Go itself, from /etc/hosts and DNS.
build: export CGO_ENABLED = 0
build: bin/warren.mod ## bin/warren, bin/gobgp (of the GoBGP version that warren embeds), the lab's attacker
	go build $(AMENDED) -trimpath -tags $(TAGS) -ldflags '$(LDFLAGS)' -o bin/warren ./cmd/warren
	go build -trimpath -tags $(TAGS) -o bin/gobgp $(GOBGP)/cmd/gobgp
	go build -trimpath -o bin/hostile ./lab/hostile
	cp LICENSE THIRD-PARTY-LICENSES bin/

# Packages, for each architecture, go to bin/packages. Their version is that of the tag, with the
# number of commits since; before the first tag it is 0.0.0, with the date. What stands behind a hyphen
# in a tag, as rc.1 does, comes before the version itself: dpkg and rpm sort it so behind a tilde, and rpm
# has no hyphen in versions.
PACKAGE_ARCHS   ?= amd64 arm64
PACKAGE_VERSION ?= $(shell printf %s '$(VERSION)' | sed -E -e '/^v?[0-9]+\.[0-9]/!s/^/0.0.0~git$(shell date -ud @$(EPOCH) +%Y%m%d%H%M%S)./' \
                     -e 's/^v//' -e 's/-([0-9]+)-g/+\1.g/' -e 's/-dirty/+dirty/' -e 's/-/~/' -e 's/-/./g')
PACKAGES_DIR    ?= bin/packages

.PHONY: manual packages package-version
package-version: ## the version that packages get
	@echo '$(PACKAGE_VERSION)'

# With the options that bin/warren is built with, so that it is linked from the same objects.
manual: export CGO_ENABLED = 0
manual: bin/warren.mod ## man pages and scripts for the shells' completion, to bin/manual
	rm -rf bin/manual
	SOURCE_DATE_EPOCH=$(EPOCH) go run $(AMENDED) -trimpath -tags manual,$(TAGS) -ldflags '$(LDFLAGS)' ./cmd/warren bin/manual

packages: export CGO_ENABLED = 0
packages: export SOURCE_DATE_EPOCH = $(EPOCH)
packages: manual bin/nfpm bin/cyclonedx-gomod ## deb and rpm for PACKAGE_ARCHS, to bin/packages
	@rm -rf $(PACKAGES_DIR); mkdir -p $(PACKAGES_DIR)
	@gobgp=$$(go list -m -f '{{.Version}}' $(GOBGP)); for arch in $(PACKAGE_ARCHS); do \
	  dir=bin/stage/$$arch; mkdir -p $$dir; echo "packages: $(PACKAGE_VERSION) for $$arch"; \
	  GOARCH=$$arch go build $(AMENDED) -trimpath -tags $(TAGS) -ldflags '$(LDFLAGS)' -o $$dir/warren ./cmd/warren; \
	  GOARCH=$$arch go build -trimpath -tags $(TAGS) -o $$dir/gobgp $(GOBGP)/cmd/gobgp; \
	  for c in warren gobgp; do packaging/sbom.sh $$dir/$$c '$(PACKAGE_VERSION)' $$gobgp >$$dir/$$c.cdx.json; done; \
	  packaging/stage.sh $$dir bin/manual $$dir/root; \
	  for kind in deb rpm; do \
	    ARCH=$$arch ROOT=$$dir/root MANUAL=bin/manual PACKAGE_VERSION='$(PACKAGE_VERSION)' \
	      bin/nfpm package -f packaging/nfpm.yaml -p $$kind -t $(PACKAGES_DIR)/; \
	  done; \
	done; cd $(PACKAGES_DIR) && sha256sum *.deb *.rpm >SHA256SUMS

# The Debian in which the package is installed is a copy of this machine's, in which nothing is
# written; with DEBIAN=bin/debian it is a new one, which `make bin/debian` fetches.
DEBIAN ?=
.PHONY: test-packages reproducible
test-packages: deps ## the packages and the container's image: what is in them; installed, upgraded, run and removed
	$(MAKE) packages
	$(MAKE) packages PACKAGE_ARCHS="$$(go env GOARCH)" VERSION=v99.0.0-next PACKAGES_DIR=bin/packages-next
	WARREN_PACKAGES="$(CURDIR)/bin/packages" WARREN_PACKAGES_NEXT="$(CURDIR)/bin/packages-next" WARREN_DEBIAN="$(abspath $(DEBIAN))" \
	WARREN_PACKAGE_VERSION='$(PACKAGE_VERSION)' go test -count=1 -timeout 40m -tags packages ./packaging

bin/debian:
	debootstrap --variant=minbase --include=systemd,systemd-sysv,dbus,iproute2,procps,rpm bookworm $@.tmp
	mv $@.tmp $@

# Both directories have a cache of their own, so that nothing is taken from the other.
reproducible: ## build the packages in two directories, and compare them
	@tmp=$$(mktemp -d); trap "chmod -R u+w $$tmp; rm -rf $$tmp" EXIT; \
	for dir in a another/one; do \
	  git clone -q . $$tmp/$$dir; \
	  GOCACHE=$$tmp/$$dir.cache $(MAKE) -C $$tmp/$$dir packages; \
	done; cat $$tmp/a/bin/packages/SHA256SUMS; cmp $$tmp/a/bin/packages/SHA256SUMS $$tmp/another/one/bin/packages/SHA256SUMS

bin/licenses: $(wildcard tools/licenses/*.go tools/amend/*.go) tools/go.mod
	@mkdir -p bin
	go build -C tools -o ../bin/licenses ./licenses

licenses: bin/licenses ## THIRD-PARTY-LICENSES, of what is linked into bin/warren and bin/gobgp
	bin/licenses THIRD-PARTY-LICENSES

# The lint tool, wireguard-go and amend have a module of their own (tools/go.mod),
# so that what they depend on stays out of Warren's.
bin/golangci-lint: tools/go.mod
	@mkdir -p bin
	go build -C tools -o ../bin/golangci-lint github.com/golangci/golangci-lint/v2/cmd/golangci-lint

bin/nfpm: tools/go.mod
	@mkdir -p bin
	go build -C tools -trimpath -o ../bin/nfpm github.com/goreleaser/nfpm/v2/cmd/nfpm

bin/cyclonedx-gomod: tools/go.mod
	@mkdir -p bin
	go build -C tools -trimpath -o ../bin/cyclonedx-gomod github.com/CycloneDX/cyclonedx-gomod/cmd/cyclonedx-gomod

bin/wireguard-go: tools/go.mod
	@mkdir -p bin
	go build -C tools -o ../bin/wireguard-go golang.zx2c4.com/wireguard

# GoBGP's daemon as released, for the bench to compare with: built where its module is.
bin/gobgpd: go.mod
	@mkdir -p bin
	@go mod download $(GOBGP)
	go build -C "$$(go list -m -f '{{.Dir}}' $(GOBGP))" -trimpath -o "$(CURDIR)/bin/gobgpd" ./cmd/gobgpd

deps: ## install what a bare Debian machine lacks for lab, demo and bench
	@missing=; for t in $(TOOLS); do PATH="$$PATH:/usr/sbin:/sbin" command -v $$t >/dev/null || missing="$$missing $$t"; done; \
	if [ -z "$$missing" ]; then exit 0; fi; \
	if ! command -v apt-get >/dev/null; then \
	  echo "deps: missing commands:$$missing; install them (on Debian: $(PACKAGES))" >&2; exit 1; fi; \
	if [ "$$(id -u)" != 0 ]; then \
	  echo "deps: missing commands:$$missing; as root: apt-get install $(PACKAGES)" >&2; exit 1; fi; \
	echo "deps: installing what is missing:$$missing"; \
	quiet=; for s in $(ROUTING); do [ -e /lib/systemd/system/$$s.service ] || quiet="$$quiet $$s"; done; \
	policy=/usr/sbin/policy-rc.d; if [ ! -e $$policy ]; then \
	  trap "rm -f $$policy" EXIT; printf '#!/bin/sh\nexit 101\n' >$$policy; chmod 755 $$policy; fi; \
	export DEBIAN_FRONTEND=noninteractive; apt-get update -q; apt-get install -qy --no-install-recommends $(PACKAGES); \
	if command -v systemctl >/dev/null; then for s in $$quiet; do systemctl -q disable $$s; done; fi

check: bin/golangci-lint bin/licenses ## formatting, vet, linters, the dependency rules, third parties' licenses
	@out=$$(gofmt -l $$(git ls-files '*.go')); if [ -n "$$out" ]; then echo "gofmt would change: $$out"; exit 1; fi
	go vet -tags privileged,lab,vm,packages ./...
	go vet -tags manual ./cmd/warren
	bin/golangci-lint run --build-tags privileged,lab,vm,packages ./...
	go vet -C tools ./...
	cd tools && ../bin/golangci-lint run ./...
	bin/licenses -check THIRD-PARTY-LICENSES

test: deps check test-unit test-privileged lab vm-few test-packages ## everything CI runs

test-unit: bin/warren.mod ## what needs no privileges, with the race detector
	go test -C tools -race -count=1 ./...
	go test $(AMENDED) -race -count=1 -timeout 20m -p 2 ./...
	go test $(AMENDED) -count=1 -timeout 10m -run "Memory|Cheap|Flood" ./bgp/engine ./tunnel/tlslink # what the detector would falsify or make too slow

test-privileged: deps build bin/wireguard-go ## the packages against the real kernel, in network namespaces
	go run ./lab/privileged go test $(AMENDED) -race -count=1 -timeout 20m -p 2 -tags privileged \
	  $$(go list ./... | grep -v '/lab$$')

lab: deps build bin/wireguard-go ## whole topologies with the real binary; one: make lab RUN=two-sites
	go run ./lab/privileged go test $(AMENDED) -count=1 -timeout 60m -parallel 3 -tags lab -run 'TestCommands|TestPage|TestScenarios/$(RUN)' ./lab/

# What only a virtual machine needs is not installed for anything else. virtiofsd comes with qemu up to Debian 12.
VMDEPS := qemu-system-x86 busybox-static kmod
vm: deps build bin/wireguard-go ## scenarios that need a distribution's kernel, under Debian's, in a virtual machine: takes minutes
	@missing=; for t in qemu-system-x86_64 busybox depmod; do PATH="$$PATH:/usr/sbin:/sbin" command -v $$t >/dev/null || missing="$$missing $$t"; done; \
	[ -e /usr/lib/qemu/virtiofsd ] || [ -e /usr/libexec/virtiofsd ] || missing="$$missing virtiofsd"; \
	if [ -n "$$missing" ]; then echo "vm: installing what is missing:$$missing"; \
	  if ! command -v apt-get >/dev/null; then echo "vm: without apt-get; install them (on Debian: $(VMDEPS))" >&2; exit 1; fi; \
	  if [ "$$(id -u)" != 0 ]; then echo "vm: as root: apt-get install $(VMDEPS)" >&2; exit 1; fi; \
	  export DEBIAN_FRONTEND=noninteractive; \
	  if ! { apt-get update -q && apt-get install -qy --no-install-recommends $(VMDEPS) $$(apt-cache pkgnames virtiofsd | grep -x virtiofsd); }; then \
	    echo "vm: Debian's packages $(VMDEPS) cannot be installed; why is said above" >&2; exit 1; fi; fi
	@mkdir -p bin/vm
	go test $(AMENDED) -c -tags lab,vm -o bin/vm/lab.test ./lab
	LAB_PATIENCE=$${LAB_PATIENCE:-5m} go run ./lab/vm -timeout 40m -C lab ../bin/vm/lab.test -test.count=1 -test.v -test.parallel 1 -test.run 'TestKernel/$(RUN)'

# One of each kind: the kernel's WireGuard and its underlay, an external interface, a module that Warren loads. `make test` does
# without them where they cannot be run, but not in CI.
VMFEW := kernel-(line-down|external-gre|bbr-netem-vrf)
vm-few: ## three of those, which CI runs: two minutes of processor time
	@why=; if [ "$$(id -u)" != 0 ]; then why="they need root"; fi; \
	if [ "$$(go env GOARCH)" != amd64 ]; then why="they are for amd64"; fi; \
	if [ -z "$$why" ]; then $(MAKE) vm RUN='$(VMFEW)'; \
	elif [ "$${CI:-}" = true ]; then echo "vm-few: $$why" >&2; exit 1; \
	else echo "vm-few: the scenarios in the virtual machine are left out: $$why" >&2; fi

demo: deps build ## two sites, one tunnel, routes both ways; KEEP=1 leaves it up
	@go run ./lab/demo

demo-down: ## take down what KEEP=1 left up
	@go run ./lab/demo -down

# BENCHFLAGS=-table measures large tables beside other BGP routers instead, to
# docs/bench-table.md, .json and docs/speed.md; BENCHFLAGS=-failover what becomes of packets when
# something fails, to docs/bench-failover.md, .json and docs/speed.md; BENCHFLAGS=-paths tunnels over
# lossy and narrow paths, to docs/bench-paths.md, .json and docs/speed.md; BENCHFLAGS=-congestion the congestion controls of
# connections over TLS, to docs/bench-congestion.md, .json and docs/speed.md. -table=fill,stop measures parts.
bench: deps build bin/wireguard-go bin/gobgpd ## Warren beside OpenVPN and wireguard-go, to docs/bench.md, .json and README.md
	go run ./lab/bench -readme README.md -speed docs/speed.md $(BENCHFLAGS)

fuzz: bin/warren.mod ## run every fuzz target for FUZZTIME
	@for pkg in $$(go list ./...); do \
	  for f in $$(go test $(AMENDED) -list '^Fuzz' $$pkg | grep '^Fuzz' || true); do \
	    echo "== $$pkg $$f"; go test $(AMENDED) -run '^$$' -fuzz "^$$f$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 10x $$pkg; \
	  done; done

clean: ## remove what was built
	rm -rf bin
