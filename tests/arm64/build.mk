# Library and msb for linux/arm64, cross-built, and what is tested of them here:
# docs/platforms.md says what that is.

ARM64_CC ?= aarch64-linux-gnu-gcc
ARM64_LIB := build/arm64/lib/libmicrosandbox.so.$(VERSION)
ARM64_MSB := build/arm64/bin/msb

.PHONY: lib-arm64 msb-arm64 test-arm64
lib-arm64: $(ARM64_LIB) ## cross-build the shared library for linux/arm64
$(ARM64_LIB): $(LIB_SOURCES)
	@mkdir -p build/arm64/lib
	GOARCH=arm64 CC=$(ARM64_CC) $(LIB_GO) -ldflags "-s -w $(LIB_LDFLAGS)" -o build/arm64/lib/libmicrosandbox.so ./capi
	@rm build/arm64/lib/libmicrosandbox.h
	@mv build/arm64/lib/libmicrosandbox.so $@
	@ln -sfn $(notdir $@) build/arm64/lib/$(SONAME)
	@ln -sfn $(SONAME) build/arm64/lib/libmicrosandbox.so

msb-arm64: $(ARM64_MSB) ## cross-build msb for linux/arm64
$(ARM64_MSB): $(MSB_SOURCES) $(GUEST)/launcher_arm64 $(AGENT)/agent_arm64
	@mkdir -p $(@D)
	@test -x $@ || echo "building msb for arm64: the first time takes two minutes"
	GOARCH=arm64 CGO_ENABLED=0 nice $(GO) build -trimpath -ldflags "-s -w -X main.version=$(VERSION)" -o $@ ./cmd/msb

test-arm64: msb ## cross-build for linux/arm64, and run the tests under emulation
	@tools/install-deps arm64
	@$(MAKE) -s lib-arm64 msb-arm64
	@tools/test-arm64
