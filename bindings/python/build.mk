# The checks of the Python binding. Included by the Makefile in the root.

.PHONY: python-devtools python-types python-wheel

python-devtools: bindings/python/node_modules/.package-lock.json
bindings/python/node_modules/.package-lock.json: bindings/python/package-lock.json
	cd bindings/python && npm ci --no-audit --no-fund --loglevel=error

python-types: python-devtools ## pyright, strict, over binding, tests and examples
	cd bindings/python && npm exec --no -- pyright

python-wheel: all ## build/wheel/microsandbox-*.whl, with library and msb inside
	@mkdir -p build/wheel
	@PYTHONPATH=bindings/python/_backend python3 -c 'import wheel_backend; print("build/wheel/" + wheel_backend.build_wheel("build/wheel"))'
