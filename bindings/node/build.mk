# The Node package: the addon, and copies of what it needs in native/.
# Needs a C compiler and the Node-API headers: of the Node in use, else from npm.

NODE ?= node
NPM ?= npm
NODE_SRC := $(wildcard bindings/node/src/*.c)
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
