# `make bench` compares with stock runsc of the same pin and writes
# build/bench.json. ONLY=handle,burst measures only these groups of figures
# (cold pooled standing terminal programs handle burst density metrics mounts vm sizes); RUNS=5 and STREAM_MIB=64 make a
# quick smoke check: all counts scale with RUNS.

RUNS ?= 20
STREAM_MIB ?= 1024
ONLY ?=
BENCH_CFLAGS := -std=c99 -O2 -Wall -Wextra -Wpedantic -Werror
BENCH_SRC := bench/programs

.PHONY: bench bench-build
bench: bench-build ## measure beside the peers: RUNS=20, ONLY=cold,pooled,standing,terminal,programs,handle,burst,density,metrics,mounts,vm,sizes
	build/bench/bench -runs $(RUNS) -stream $(STREAM_MIB) -only '$(ONLY)'

bench-build: bench-deps lib msb node bench-kernel build/bench/runsc build/bench/bench build/bench/vminit \
	$(addprefix build/bench/,host killer keep guest)

.PHONY: bench-deps
bench-deps:
	@tools/install-deps bench

# The version is that of go.mod, hence that of msb; the program checks it.
build/bench/runsc: go.mod go.sum
	@mkdir -p $(@D)
	@test -x $@ || echo "building runsc: the first time takes two minutes"
	CGO_ENABLED=0 nice $(GO) build -trimpath -ldflags "-s -w" -o $@ gvisor.dev/gvisor/runsc
	@touch $@

# Run as it is: `go run` would keep a signal to itself.
build/bench/bench: $(wildcard bench/*.go) go.mod
	@mkdir -p $(@D)
	CGO_ENABLED=0 $(GO) build -o $@ ./bench

build/bench/vminit: $(wildcard bench/vminit/*.go)
	@mkdir -p $(@D)
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags "-s -w" -o $@ ./bench/vminit

# The kernel of microVMs, and its image as the distribution has it for the bare machine
# beside them. Without them that group of figures is left out.
.PHONY: bench-kernel
bench-kernel: msb
	@test -s build/bench/vmlinuz -a -e $(KERNELS)/default || { \
		mkdir -p build/bench && rm -rf build/bench/kernel && mkdir build/bench/kernel && cd build/bench/kernel && \
		package=$$(apt-cache depends --important linux-image-cloud-amd64 | sed -n 's/.*Depends: \(linux-image-.*\)/\1/p') && \
		apt-get -qq -o APT::Sandbox::User=root download "$$package" && dpkg-deb -x ./*.deb . && \
		$(CURDIR)/$(MSB) kernel install --dir $(CURDIR)/$(KERNELS) --from boot/vmlinuz-* >/dev/null && \
		cp boot/vmlinuz-* ../vmlinuz && rm -rf $(CURDIR)/build/bench/kernel; } || echo "bench: no guest kernel: microVMs are not measured"

build/bench/host: $(addprefix $(BENCH_SRC)/,host.c lives.c processes.c host.h processes.h serve.h pattern.h) \
		$(HEADERS) | lib
	@mkdir -p $(@D)
	$(CC) $(BENCH_CFLAGS) -pthread -Iinclude -o $@ $(filter %.c,$^) \
		-Lbuild/lib -l:libmicrosandbox.so.0 -Wl,-rpath,'$$ORIGIN/../lib'

build/bench/killer build/bench/keep: build/bench/%: $(BENCH_SRC)/%.c $(BENCH_SRC)/serve.h
	@mkdir -p $(@D)
	$(CC) $(BENCH_CFLAGS) -o $@ $<

build/bench/guest: $(BENCH_SRC)/guest.c $(BENCH_SRC)/pattern.h
	@mkdir -p $(@D)
	$(CC) $(BENCH_CFLAGS) -static -o $@ $<

# A timeline of one sandbox: RUNS lives of an msb with time stamps at its steps.
PROFILE := build/profile/msb build/profile/profile
.PHONY: profile
profile: bench-deps $(PROFILE) ## show where the time of one sandbox goes, step by step: RUNS=20
	build/profile/profile -runs $(RUNS) -msb build/profile/msb

build/profile/msb: $(MSB_SOURCES) $(GUEST)/launcher_amd64
	@mkdir -p $(@D)
	CGO_ENABLED=0 nice $(GO) build -tags profile -trimpath -ldflags "-s -w" -o $@ ./cmd/msb

build/profile/profile: $(MSB_SOURCES) $(wildcard bench/profile/*.go)
	@mkdir -p $(@D)
	CGO_ENABLED=0 nice $(GO) build -tags profile -trimpath -o $@ ./bench/profile
