# libmicrosandbox. `make help` lists the targets; all products lie under build/.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := all
MAKEFLAGS += --no-builtin-rules

include capi/build.mk
include capi/dll.mk
include bindings/node/build.mk
include bindings/python/build.mk

GO := env GOENV=off GOFLAGS=-buildvcs=false go
MSB := build/bin/msb
GUEST := core/engine/gvisor/guest
AGENT := core/agent/guest
MSB_MAX_BYTES := 47185920

.PHONY: all help deps msb generate demo check test bench install clean

all: deps lib msb node ## build library, msb and the Node addon

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1\t\2/p' $(MAKEFILE_LIST) | expand -t 15

deps:
	@tools/install-deps build

$(GUEST)/launcher_amd64 $(GUEST)/launcher_arm64: $(GUEST)/launcher_%: $(GUEST)/launcher.c $(GUEST)/build.sh
	$(GUEST)/build.sh $*

AGENT_SOURCES := $(shell find $(AGENT) core/agent/wire -name '*.go' ! -name '*_test.go' ! -name 'embed_*')
$(AGENT)/agent_amd64 $(AGENT)/agent_arm64: $(AGENT)/agent_%: $(AGENT_SOURCES) $(AGENT)/build.sh $(GUEST)/launcher_%
	$(AGENT)/build.sh $*

generate: $(GUEST)/launcher_amd64 $(AGENT)/agent_amd64 ## build what the sources embed

# The sentry must be static: no cgo.
MSB_SOURCES := $(shell find cmd core -name '*.go' ! -name '*_test.go') go.mod go.sum Makefile
msb: $(MSB) ## build msb
$(MSB): $(MSB_SOURCES) $(GUEST)/launcher_amd64 $(AGENT)/agent_amd64
	@mkdir -p build/bin build/libexec/microsandbox
	@test -x $@ || echo "building msb: the first time takes two minutes"
	CGO_ENABLED=0 nice $(GO) build -trimpath -ldflags "-s -w -X main.version=$(VERSION)" -o $@.tmp ./cmd/msb
	@size=$$(stat -c %s $@.tmp); test $$size -le $(MSB_MAX_BYTES) || \
		{ echo "msb is $$size bytes, at most $(MSB_MAX_BYTES) are allowed" >&2; exit 1; }
	@mv $@.tmp $@
	@ln -sfn ../../bin/msb build/libexec/microsandbox/msb

# The kernel of microVMs in tests: Debian's, downloaded and not installed.
KERNELS := build/kernels
.PHONY: test-kernel
test-kernel: msb ## prepare a guest kernel for the tests of microVMs
	@$(MSB) kernel ls --dir $(KERNELS) | grep -q '^\*' || $(MSB) kernel install --dir $(KERNELS)

include tests/matrix/build.mk
-include bench/build.mk
include tests/arm64/build.mk

PYTHONPATH_TREE := bindings/python/src

demo: all ## run the same demonstration from C, Python and Node
	@mkdir -p build/examples
	@$(MAKE) -s examples-c
	@echo "== C";      build/examples/demo
	@echo "== Python"; PYTHONPATH=$(PYTHONPATH_TREE) python3 examples/python/demo.py
	@echo "== Node";   $(NODE) examples/node/demo.mjs
	@echo "== left behind:"; $(MSB) ls

.PHONY: examples-c
examples-c: lib msb
	@mkdir -p build/examples
	@for e in hello demo pool; do \
		$(CC) -std=c99 -Wall -Wextra -Wpedantic -Werror -Iinclude -o build/examples/$$e examples/c/$$e.c \
			-Lbuild/lib -lmicrosandbox -Wl,-rpath,'$$ORIGIN/../lib'; done

check: ## what to run before each commit: under five minutes
	@tools/install-deps test
	@$(MAKE) -s all examples-c lib-debug matrix
	@tools/run-tests quick

test: ## everything, as root and as an unprivileged user
	@tools/install-deps test
	@$(MAKE) -s all examples-c lib-debug matrix node-devtools python-devtools dll node-windows windows-interpreters test-kernel
	@tools/run-tests full

PREFIX ?= /usr/local
install: all install-lib ## install under PREFIX (and DESTDIR)
	install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(LIBEXECDIR)/microsandbox
	install -m 755 $(MSB) $(DESTDIR)$(LIBEXECDIR)/microsandbox/msb
	ln -sfn $(LIBEXECDIR)/microsandbox/msb $(DESTDIR)$(PREFIX)/bin/msb

clean: ## remove all products
	rm -rf build bindings/node/native $(GUEST)/launcher_amd64 $(GUEST)/launcher_arm64 \
		$(AGENT)/agent_amd64 $(AGENT)/agent_arm64
