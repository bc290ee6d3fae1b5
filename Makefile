# The front door. Each check is defined here once; CI and people call the same targets.
# `make demo` and `make test` set up all they need: a virtual environment, pinned tools, the extension.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules

PYTHON ?= python3
VENV ?= .venv
FUZZ_SECONDS ?= 30
STRESS_SECONDS ?= 60
PYTEST_ARGS ?=
PIP_VERSION := 26.3

BIN := $(VENV)/bin
PEERS := $(VENV)-gpu-peers
CHECK := $(VENV)-gpu-check
STAMPS := $(VENV)/stamps
RESULTS := target/test-results

# Another interpreter makes another environment, so the stamp bears its version: "3.11.7", "3.14.0t".
PYTAG := $(shell $(PYTHON) -c 'import platform, sys; print(platform.python_version() + getattr(sys, "abiflags", ""))' 2>/dev/null)
SOABI := $(shell $(PYTHON) -c 'import sysconfig; print(sysconfig.get_config_var("SOABI"))' 2>/dev/null)
VENV_STAMP := $(STAMPS)/python-$(or $(PYTAG),missing)
EXTENSION := $(STAMPS)/extension
RUST_SOURCES := Cargo.toml $(wildcard Cargo.lock) \
    $(shell find core gpu numpy_ext python -name '*.rs' -o -name Cargo.toml 2>/dev/null)

.PHONY: help demo test test-rust test-py test-gpu-peers test-kernels gpu-check cudasim stress-valgrind conformance lint lint-rust lint-py fmt bench bench-full guard guard-baseline fuzz matrix wheel clean FORCE

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z][a-z-]*:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo
	@echo "  PYTHON=... picks the interpreter (now: $(PYTHON) $(or $(PYTAG),- not found)); PYTEST_ARGS=... goes to pytest"

demo: $(EXTENSION) $(STAMPS)/group-test ## ship a real object graph to another process and back
	@$(BIN)/python examples/python/demo.py

test: test-rust test-py ## all tests

# The default members need no interpreter, and are tested without one. The GPU crate is tested as
# built by default and again with the driver code in it, which must behave where there is no driver.
test-rust: export PYO3_PYTHON := /nonexistent
test-rust: ## the Rust tests; they need no Python
	@mkdir -p $(RESULTS)
	@{ cargo test --locked --no-fail-fast; a=$$?; \
	   cargo test --locked --no-fail-fast -p ferropickle-gpu --features cuda; b=$$?; \
	   exit $$((a | b)); } 2>&1 | tee $(RESULTS)/rust.log && rc=0 || rc=$$?; \
	awk '/^test result:/ { p += $$4; f += $$6; s += $$8 } \
	     END { printf "Rust tests, all binaries: %d passed, %d failed, %d skipped\n", p, f, s }' $(RESULTS)/rust.log; \
	exit $$rc

# The driver that tests run on where there is no device; it needs Linux.
cudasim: ## install the simulated CUDA driver into target/cudasim
	@if [ "$$(uname)" = Linux ]; then cargo run --locked --quiet -p ferropickle-cudasim -- target/cudasim; fi

test-py: $(EXTENSION) $(STAMPS)/group-test cudasim ## the Python tests
	@mkdir -p $(RESULTS)
	$(BIN)/python -m pytest --junitxml=$(RESULTS)/python.xml tests/python $(PYTEST_ARGS)

# The libraries take 2 GB, so they have an environment of their own, and are not part of `make test`.
test-gpu-peers: $(EXTENSION) $(PEERS)/stamp cudasim ## real kernels and arrays of CuPy, Numba, Triton, cuda.core; no device needed
	@mkdir -p $(RESULTS)
	PYTHONPATH=python $(PEERS)/bin/python -m pytest --junitxml=$(RESULTS)/gpu-peers.xml tests/python/gpu/peers $(PYTEST_ARGS)

# The compilers take 180 MB, so they are installed only for this.
test-kernels: $(EXTENSION) $(STAMPS)/group-test $(STAMPS)/group-kernels ## our kernels: is the PTX of its sources, does it fit every device; none needed
	@mkdir -p $(RESULTS)
	$(BIN)/python -m pytest --junitxml=$(RESULTS)/kernels.xml tests/python/gpu/test_kernel_sources.py $(PYTEST_ARGS)

# The machine needs a driver and this Python. Where there is no cargo, a wheel that was made elsewhere, for the same
# Python, is taken from dist/.
gpu-check: ## on a machine with a GPU: a wheel, the device tests on the real driver, benchmarks, recorded
	@mkdir -p $(RESULTS)
	@if command -v cargo >/dev/null; then rm -f dist/ferropickle-*.whl; $(MAKE) wheel; fi
	@ls dist/ferropickle-*.whl >/dev/null 2>&1 || { echo "there is neither cargo nor a wheel in dist/: make wheel on another machine"; exit 1; }
	$(PYTHON) -m venv --clear --system-site-packages $(CHECK)
	$(CHECK)/bin/python -m pip install --quiet 'pip==$(PIP_VERSION)'
	$(CHECK)/bin/python -m pip install --quiet --force-reinstall --no-deps dist/ferropickle-*.whl
	$(CHECK)/bin/python -m pip install --quiet --group test
	@if command -v cargo >/dev/null; then FERROPICKLE_DRIVER=real cargo test --locked -p ferropickle-gpu --features cuda --test simulated; fi
	FERROPICKLE_DRIVER=real $(CHECK)/bin/python -m pytest --junitxml=$(RESULTS)/gpu-check.xml tests/python/gpu $(PYTEST_ARGS)
	FERROPICKLE_DRIVER=real $(CHECK)/bin/python benches/python/devices.py --record

stress-valgrind: $(EXTENSION) ## threads that change what others dump, under valgrind's memcheck, each case for STRESS_SECONDS (60); half an hour
	tests/stress.sh $(abspath $(BIN))/python $(STRESS_SECONDS)

conformance: $(EXTENSION) $(STAMPS)/group-test ## CPython's own pickle tests against ferropickle
	$(BIN)/python -m pytest tests/python/conformance $(PYTEST_ARGS)

lint: lint-rust lint-py ## every static check

lint-rust: $(VENV_STAMP)
	cargo fmt --all --check
	@if [ -f tests/fuzz/Cargo.toml ]; then cargo fmt --manifest-path tests/fuzz/Cargo.toml --check; fi
	PYO3_PYTHON=$(abspath $(BIN)/python) cargo clippy --locked --workspace --all-targets -- -D warnings
	cargo clippy --locked -p ferropickle-gpu --features cuda --all-targets -- -D warnings

lint-py: $(EXTENSION) $(STAMPS)/group-test $(STAMPS)/group-lint
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	MYPYPATH=python $(BIN)/python -m mypy.stubtest --mypy-config-file pyproject.toml ferropickle

fmt: $(STAMPS)/group-lint ## format Rust and Python
	cargo fmt --all
	@if [ -f tests/fuzz/Cargo.toml ]; then cargo fmt --manifest-path tests/fuzz/Cargo.toml; fi
	$(BIN)/ruff check --fix-only --quiet .
	$(BIN)/ruff format .

bench: $(EXTENSION) $(STAMPS)/group-test $(STAMPS)/group-bench ## beside other serializers, short: less than three minutes
	$(BIN)/python benches/python/suite.py --short

guard: $(EXTENSION) ## instruction counts of dumps and loads beside the committed baseline; needs valgrind
	$(BIN)/python benches/guard/guard.py

guard-baseline: $(EXTENSION) ## write that baseline anew
	$(BIN)/python benches/guard/guard.py --baseline

BENCH_RECORD := $(shell $(PYTHON) -c 'import sys; print("cpython-%d.%d" % sys.version_info[:2])' 2>/dev/null)

bench-full: $(EXTENSION) $(STAMPS)/group-test $(STAMPS)/group-bench ## every benchmark, recorded under benches/record; an hour
	PYO3_PYTHON=/nonexistent cargo bench --locked -p ferropickle-benches -- --quick
	$(BIN)/python benches/python/suite.py --record $(BENCH_RECORD)
	$(BIN)/python benches/python/pictures.py benches/record/$(BENCH_RECORD).json

# The value tree counts references and has no collector: a stream with a cycle leaks there, as it says.
fuzz: ## fuzz each target for FUZZ_SECONDS (30)
	@rustup run nightly rustc --version >/dev/null 2>&1 || { echo "make fuzz needs a nightly compiler: rustup toolchain install nightly"; exit 1; }
	@cargo fuzz --version >/dev/null 2>&1 || { echo "make fuzz needs cargo-fuzz: cargo install cargo-fuzz --locked"; exit 1; }
	@for target in $$(cargo +nightly fuzz list --fuzz-dir tests/fuzz); do \
	    echo "== $$target, $(FUZZ_SECONDS) s"; \
	    mkdir -p target/fuzz-corpus/$$target tests/fuzz/corpus/$$target; \
	    leaks=1; if [ $$target = decode_value ]; then leaks=0; fi; \
	    ASAN_OPTIONS=detect_leaks=$$leaks cargo +nightly fuzz run --fuzz-dir tests/fuzz $$target \
	        target/fuzz-corpus/$$target tests/fuzz/corpus/$$target \
	        -- -max_total_time=$(FUZZ_SECONDS) -rss_limit_mb=2048 -print_final_stats=1; \
	done

matrix: ## build and test on every CPython from 3.10 to 3.14 on this machine
	@tests/matrix.sh

wheel: $(STAMPS)/group-build ## a release wheel for $(PYTHON), in dist/
	$(BIN)/maturin build --release --locked --strip --interpreter $(BIN)/python --out dist

clean: ## remove everything that the targets made
	rm -rf target .venv .venv-* dist .hypothesis .mypy_cache .ruff_cache .pytest_cache
	rm -f python/ferropickle/*.so
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# ---- set-up, each step kept by a stamp -------------------------------------------------------

$(STAMPS)/python-missing:
	@echo "'$(PYTHON)' is not here or does not run; install CPython 3.10 or newer, or name one: make PYTHON=/path/to/python3"; exit 1

$(STAMPS)/python-%:
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 10) else "ferropickle needs CPython 3.10 or newer; $(PYTHON) is %d.%d; name another: make PYTHON=/path/to/python3" % sys.version_info[:2])'
	$(PYTHON) -m venv --clear $(VENV) || { echo "no virtual environment could be made; on Debian and Ubuntu: apt-get install python3-venv"; exit 1; }
	$(BIN)/python -m pip install --quiet 'pip==$(PIP_VERSION)'
	@mkdir -p $(STAMPS) && touch $@

$(STAMPS)/group-%: pyproject.toml $(VENV_STAMP)
	$(BIN)/python -m pip install --quiet --group $*
	@touch $@

$(PEERS)/stamp: pyproject.toml $(VENV_STAMP)
	$(PYTHON) -m venv --clear $(PEERS)
	$(PEERS)/bin/python -m pip install --quiet 'pip==$(PIP_VERSION)'
	$(PEERS)/bin/python -m pip install --quiet --group gpu-peers
	@touch $@

$(EXTENSION): $(RUST_SOURCES) pyproject.toml $(STAMPS)/group-build
$(EXTENSION): $(if $(wildcard python/ferropickle/_native.$(SOABI).so),,FORCE)
	@command -v cargo >/dev/null || { echo "cargo is not here; install Rust 1.88 or newer"; exit 1; }
	VIRTUAL_ENV=$(abspath $(VENV)) $(BIN)/maturin develop --release --locked
	@touch $@

FORCE:
