#!/bin/sh
# Writes the bill of materials of a command that Go has built, in CycloneDX's JSON:
#
#   packaging/sbom.sh BINARY VERSION GOBGP_VERSION >FILE
#
# It tells what go version -m tells: which modules are linked in, of which version, with their hashes.
# The date is SOURCE_DATE_EPOCH. GoBGP is the one module that is linked from a directory, a copy
# that is changed (tools/amend), so that its name and version are put back.
set -eu
binary=$1 version=$2 gobgp=$3
bin/cyclonedx-gomod bin -json -noserial -std -version "$version" "$binary" |
  sed -e "s|\"timestamp\": \"[^\"]*\"|\"timestamp\": \"$(date -ud "@$SOURCE_DATE_EPOCH" +%Y-%m-%dT%H:%M:%SZ)\"|" \
    -e "s|pkg:golang/./bin/gobgp-module@(devel)|pkg:golang/github.com/osrg/gobgp/v4@$gobgp|" \
    -e 's|"name": "./bin/gobgp-module"|"name": "github.com/osrg/gobgp/v4"|' \
    -e "s|\"version\": \"(devel)\"|\"version\": \"$gobgp\"|"
