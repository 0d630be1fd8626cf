# The Node package: the addon, and copies of what it needs in native/.
# Needs a C compiler and the Node-API headers: of the Node in use, else from npm.

NODE ?= node
NPM ?= npm
NODE_SRC := $(filter-out %_windows.c,$(wildcard bindings/node/src/*.c))
NODE_NATIVE := bindings/node/native
NODE_CFLAGS := -std=c99 -O2 -g -fPIC -fvisibility=hidden -Wall -Wextra -Wpedantic -Werror
# Node-API is stable: the headers of any Node from 20 on will do.
NODE_HEADERS := $(firstword $(wildcard /usr/include/node/node_api.h /usr/local/include/node/node_api.h) \
	build/node/headers/node_modules/node-api-headers/include/node_api.h)

.PHONY: node node-test node-devtools

node: build/node/microsandbox.node $(NODE_NATIVE)/.stamp examples/node/node_modules/microsandbox

build/node/headers/node_modules/node-api-headers/include/node_api.h:
	@echo "installing node-api-headers from npm (no Node headers on this machine)"
	@mkdir -p build/node/headers
	$(NPM) install --silent --no-audit --no-fund --no-save --prefix build/node/headers node-api-headers@1.9.0

build/node/microsandbox.node: $(NODE_SRC) bindings/node/src/addon.h $(HEADERS) $(NODE_HEADERS) | lib
	@mkdir -p build/node
	$(CC) $(NODE_CFLAGS) -shared -Iinclude -I$(dir $(NODE_HEADERS)) -o $@.tmp $(NODE_SRC) \
		-Lbuild/lib -l:libmicrosandbox.so.0 -Wl,-rpath,'$$ORIGIN' -Wl,--as-needed
	mv $@.tmp $@

# Never written in place: a running host has them mapped.
$(NODE_NATIVE)/.stamp: build/node/microsandbox.node lib msb
	@mkdir -p $(NODE_NATIVE)
	@for f in build/node/microsandbox.node build/lib/libmicrosandbox.so.0 build/bin/msb; do \
		cmp -s "$$f" "$(NODE_NATIVE)/$${f##*/}" || \
		cp -L --remove-destination "$$f" "$(NODE_NATIVE)/$${f##*/}" || exit 1; \
	done
	@touch $@

# What `npm install` in examples/node makes too.
examples/node/node_modules/microsandbox:
	@mkdir -p $(@D)
	ln -sfn ../../../bindings/node $@

# Only the tests need these: typescript for index.d.ts, koffi to call the same header.
node-devtools: bindings/node/test/dev/node_modules/.package-lock.json

bindings/node/test/dev/node_modules/.package-lock.json: bindings/node/test/dev/package-lock.json
	@echo "installing typescript, @types/node and koffi from npm"
	cd bindings/node/test/dev && $(NPM) ci --silent --no-audit --no-fund
	@touch $@

node-test: node node-devtools
	$(NODE) --test bindings/node/test/*.test.js bindings/node/test/dev/*.test.js

# The addon for Windows, cross-built. It takes Node-API and libuv from the process that
# loads it, which has to be called node.exe.
NODE_DLL_SRC := $(filter-out %_linux.c,$(wildcard bindings/node/src/*.c))
NODE_API := build/node/headers/node_modules/node-api-headers
NODE_DLL := $(DLL_DIR)/microsandbox.node

.PHONY: node-windows
node-windows: $(NODE_DLL) ## cross-build the Node addon for Windows

build/node/libnode.a: $(NODE_API)/include/node_api.h
	@mkdir -p $(@D)
	{ printf '%s\n' 'NAME node.exe' EXPORTS uv_open_osfhandle uv_get_osfhandle; \
		grep -hE '^(napi|node_api)_' $(NODE_API)/def/*.def | sort -u; } > build/node/node.def
	x86_64-w64-mingw32-dlltool -d build/node/node.def -D node.exe -l $@

$(NODE_DLL): $(NODE_DLL_SRC) bindings/node/src/addon.h $(HEADERS) build/node/libnode.a $(DLL)
	$(DLL_CC) -std=c99 -O2 -Wall -Wextra -Wpedantic -Werror -shared -static-libgcc -Iinclude -I$(NODE_API)/include \
		-o $@ $(NODE_DLL_SRC) $(DLL_DIR)/libmicrosandbox.dll.a build/node/libnode.a
