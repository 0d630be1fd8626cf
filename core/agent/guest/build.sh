#!/bin/sh
# Builds the guest agent for one processor next to this script: build.sh [amd64|arm64].
# The launcher that it embeds must be built (core/engine/gvisor/guest/build.sh).
set -eu
cd "$(dirname "$0")"
arch=${1:-$(go env GOARCH)}
GOENV=off GOFLAGS=-buildvcs=false GOOS=linux GOARCH=$arch CGO_ENABLED=0 \
	go build -trimpath -ldflags "-s -w -buildid=" -o "agent_$arch.tmp" ./msb-agent
mv "agent_$arch.tmp" "agent_$arch"
