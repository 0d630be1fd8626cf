# `make bench` compares with stock runsc of the same pin and writes
# build/bench.json. RUNS=5 and STREAM_MIB=64 make a quick smoke check.

RUNS ?= 20
STREAM_MIB ?= 1024
BENCH_CFLAGS := -std=c99 -O2 -Wall -Wextra -Wpedantic -Werror
BENCH_SRC := bench/programs

.PHONY: bench bench-build
bench: bench-build
	CGO_ENABLED=0 $(GO) run ./bench -runs $(RUNS) -stream $(STREAM_MIB)

bench-build: bench-deps lib msb node build/bench/runsc build/bench/host build/bench/guest

.PHONY: bench-deps
bench-deps:
	@tools/install-deps bench

# The version is that of go.mod, hence that of msb; the program checks it.
build/bench/runsc: go.mod go.sum
	@mkdir -p $(@D)
	@test -x $@ || echo "building runsc: the first time takes two minutes"
	CGO_ENABLED=0 nice $(GO) build -trimpath -ldflags "-s -w" -o $@ gvisor.dev/gvisor/runsc
	@touch $@

build/bench/host: $(BENCH_SRC)/host.c $(BENCH_SRC)/pattern.h include/microsandbox.h | lib
	@mkdir -p $(@D)
	$(CC) $(BENCH_CFLAGS) -Iinclude -o $@ $< -Lbuild/lib -l:libmicrosandbox.so.0 -Wl,-rpath,'$$ORIGIN/../lib'

build/bench/guest: $(BENCH_SRC)/guest.c $(BENCH_SRC)/pattern.h
	@mkdir -p $(@D)
	$(CC) $(BENCH_CFLAGS) -static -o $@ $<
