# The checks of the Python binding. Included by the Makefile in the root.

.PHONY: python-devtools python-types python-wheel python-wheel-windows

python-devtools: bindings/python/node_modules/.package-lock.json
bindings/python/node_modules/.package-lock.json: bindings/python/package-lock.json
	cd bindings/python && npm ci --no-audit --no-fund --loglevel=error

python-types: python-devtools ## pyright, strict, over binding, tests and examples
	cd bindings/python && npm exec --no -- pyright
	cd bindings/python && npm exec --no -- pyright --pythonplatform Windows src tests/windows

python-wheel: all ## build/wheel/microsandbox-*.whl, with library and msb inside
	@mkdir -p build/wheel
	@PYTHONPATH=bindings/python/_backend python3 -c 'import wheel_backend; print("build/wheel/" + wheel_backend.build_wheel("build/wheel"))'

python-wheel-windows: dll ## the same for Windows
	@mkdir -p build/wheel
	@MSB_WHEEL_PLATFORM=windows PYTHONPATH=bindings/python/_backend python3 -c 'import wheel_backend; print("build/wheel/" + wheel_backend.build_wheel("build/wheel"))'
