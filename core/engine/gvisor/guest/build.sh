#!/bin/sh
# Builds the guest launcher for one processor next to this script:
#   build.sh [amd64|arm64]     CC overrides the compiler.
set -eu
cd "$(dirname "$0")"
arch=${1:-$(go env GOARCH)}
case $arch in
amd64) : "${CC:=gcc}" ;;
arm64) : "${CC:=$( [ "$(uname -m)" = aarch64 ] && echo gcc || echo aarch64-linux-gnu-gcc )}" ;;
*) echo "build.sh: no launcher for $arch" >&2; exit 1 ;;
esac
$CC -std=c99 -Os -Wall -Wextra -Wpedantic -Werror -ffreestanding -fno-stack-protector -fno-builtin \
	-fno-asynchronous-unwind-tables -fno-pie -no-pie -nostdlib -static \
	-Wl,--build-id=none -Wl,-z,noexecstack -Wl,-z,norelro -Wl,-z,noseparate-code -s -o "launcher_$arch.tmp" launcher.c
mv "launcher_$arch.tmp" "launcher_$arch"
