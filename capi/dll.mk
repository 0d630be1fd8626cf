# The Windows DLL, cross-built with mingw-w64: `make dll` gives build/windows/ with
# microsandbox.dll, its import library, the header, a .pc file and msb.exe.

DLL_CC := x86_64-w64-mingw32-gcc
DLL_DIR := build/windows
DLL := $(DLL_DIR)/microsandbox.dll
DLL_MSB := $(DLL_DIR)/msb.exe
DLL_MAX_BYTES := 8388608

# The pair of options turns off the list of exports that Go makes: what is left is what
# the header declares. libgcc is linked in, so that only system libraries are needed.
DLL_EXTLD := -static-libgcc -Wl,--export-all-symbols -Wl,--exclude-all-symbols \
	-Wl,--out-implib=$(CURDIR)/$(DLL_DIR)/libmicrosandbox.dll.a
DLL_GO := GOENV=off GOFLAGS=-buildvcs=false GOOS=windows GOARCH=amd64 nice go build -trimpath

.PHONY: dll dll-deps windows-interpreters
dll: dll-deps $(DLL) $(DLL_MSB) $(DLL_DIR)/microsandbox.pc ## cross-build the Windows DLL and msb.exe

dll-deps:
	@tools/install-deps dll

$(DLL): $(LIB_SOURCES) capi/dll.mk
	@mkdir -p $(DLL_DIR)/include build/tmp
	CC=$(DLL_CC) CGO_ENABLED=1 $(DLL_GO) -buildmode=c-shared -ldflags "-s -w -extldflags '$(DLL_EXTLD)'" \
		-o build/tmp/microsandbox.dll ./capi
	@size=$$(stat -c %s build/tmp/microsandbox.dll); test $$size -le $(DLL_MAX_BYTES) || \
		{ echo "microsandbox.dll is $$size bytes, at most $(DLL_MAX_BYTES) are allowed" >&2; exit 1; }
	@cp -r include/. $(DLL_DIR)/include/
	@mv build/tmp/microsandbox.dll $@

$(DLL_MSB): $(shell find cmd core -name '*.go' ! -name '*_test.go') go.mod go.sum capi/dll.mk
	@mkdir -p $(DLL_DIR)
	CGO_ENABLED=0 $(DLL_GO) -ldflags "-s -w -X main.version=$(VERSION)" -o $@ ./cmd/msb

# Relative to the file: the directory can be copied as a whole.
$(DLL_DIR)/microsandbox.pc: capi/microsandbox.pc.in capi/dll.mk
	@mkdir -p $(DLL_DIR)
	sed -e 's|@PREFIX@|$${pcfiledir}|' -e 's|@LIBDIR@|$${pcfiledir}|' -e 's|@INCLUDEDIR@|$${pcfiledir}/include|' \
		-e 's|@VERSION@|$(VERSION)|' $< > $@

# What the tests of the bindings run under wine.
windows-interpreters: build/windows-test/node.exe
build/windows-test/node.exe: tools/windows-interpreters
	@tools/windows-interpreters build/windows-test
