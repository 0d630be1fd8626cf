# The shared library: `make lib` gives build/lib/libmicrosandbox.so.
# The top Makefile may set PREFIX, LIBDIR, INCLUDEDIR and LIBEXECDIR before it
# includes this file; LIBEXECDIR is where the library looks for msb last.

PREFIX ?= /usr/local
LIBDIR ?= $(PREFIX)/lib
INCLUDEDIR ?= $(PREFIX)/include
LIBEXECDIR ?= $(PREFIX)/libexec

HEADERS := include/microsandbox.h $(wildcard include/microsandbox/*.h)
MODULE := github.com/libmicrosandbox/microsandbox
version_part = $(shell sed -n 's/^.define MSB_VERSION_$(1) //p' include/microsandbox/base.h)
VERSION_MAJOR := $(call version_part,MAJOR)
VERSION := $(VERSION_MAJOR).$(call version_part,MINOR).$(call version_part,PATCH)

SONAME := libmicrosandbox.so.$(VERSION_MAJOR)
LIB := build/lib/libmicrosandbox.so.$(VERSION)
LIB_DEBUG := build/debug/libmicrosandbox.so
LIB_MAX_BYTES := 8388608

LIB_SOURCES := $(shell find capi core -name '*.[ch]' -o -name '*.go' ! -name '*_test.go' ! -path 'core/runtime/*' \
	! -path 'core/engine/*') capi/libmicrosandbox.map $(HEADERS) go.mod go.sum capi/build.mk

# A user's Go settings may turn cgo off, hence GOENV.
LIB_GO := GOENV=off GOFLAGS= CGO_ENABLED=1 nice go build -buildmode=c-shared -trimpath -buildvcs=false
LIB_EXTLD := -Wl,--version-script=$(CURDIR)/capi/libmicrosandbox.map -Wl,--no-undefined-version -Wl,-soname,$(SONAME)
LIB_LDFLAGS := -X $(MODULE)/core/launch.libexecDir=$(LIBEXECDIR)/microsandbox -extldflags '$(LIB_EXTLD)'

.PHONY: lib lib-debug
lib: $(LIB) ## build the shared library

# Go writes its generated header beside the output; it is not for users.
$(LIB): $(LIB_SOURCES)
	@mkdir -p build/lib build/tmp
	$(LIB_GO) -ldflags "-s -w $(LIB_LDFLAGS)" -o build/tmp/libmicrosandbox.so ./capi
	@size=$$(stat -c %s build/tmp/libmicrosandbox.so); test $$size -le $(LIB_MAX_BYTES) || \
		{ echo "libmicrosandbox.so is $$size bytes, at most $(LIB_MAX_BYTES) are allowed" >&2; exit 1; }
	@mv build/tmp/libmicrosandbox.so $@
	@ln -sfn $(notdir $@) build/lib/$(SONAME)
	@ln -sfn $(SONAME) build/lib/libmicrosandbox.so

# With symbols and debug information: what abidw and debuggers read.
lib-debug: $(LIB_DEBUG)
$(LIB_DEBUG): $(LIB_SOURCES)
	@mkdir -p build/debug
	$(LIB_GO) -ldflags "$(LIB_LDFLAGS)" -o $@ ./capi

# Package files for `make install`: $(call lib_configure,IN,OUT)
define lib_configure
	sed -e 's|@PREFIX@|$(PREFIX)|g' -e 's|@LIBDIR@|$(LIBDIR)|g' -e 's|@INCLUDEDIR@|$(INCLUDEDIR)|g' \
	    -e 's|@VERSION@|$(VERSION)|g' -e 's|@VERSION_MAJOR@|$(VERSION_MAJOR)|g' $(1) > $(2)
endef

.PHONY: install-lib
install-lib: lib
	install -d $(DESTDIR)$(LIBDIR)/pkgconfig $(DESTDIR)$(LIBDIR)/cmake/microsandbox \
		$(DESTDIR)$(INCLUDEDIR)/microsandbox
	install -m 755 $(LIB) $(DESTDIR)$(LIBDIR)/
	ln -sfn $(notdir $(LIB)) $(DESTDIR)$(LIBDIR)/$(SONAME)
	ln -sfn $(SONAME) $(DESTDIR)$(LIBDIR)/libmicrosandbox.so
	install -m 644 include/microsandbox.h $(DESTDIR)$(INCLUDEDIR)/
	install -m 644 $(wildcard include/microsandbox/*.h) $(DESTDIR)$(INCLUDEDIR)/microsandbox/
	$(call lib_configure,capi/microsandbox.pc.in,$(DESTDIR)$(LIBDIR)/pkgconfig/microsandbox.pc)
	$(call lib_configure,capi/microsandboxConfig.cmake.in,$(DESTDIR)$(LIBDIR)/cmake/microsandbox/microsandboxConfig.cmake)
	$(call lib_configure,capi/microsandboxConfigVersion.cmake.in,$(DESTDIR)$(LIBDIR)/cmake/microsandbox/microsandboxConfigVersion.cmake)

# Records a wanted change of the ABI in tests/header and tests/abi.
.PHONY: abi-update
abi-update: lib lib-debug ## record the layout and ABI anew
	MSB_UPDATE_ABI=1 go test -count=1 ./tests/header ./tests/abi
