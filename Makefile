# matrix-focus: `make demo` shows a call, `make test` runs everything. Each does its own set-up.
.PHONY: help setup setup-tests demo check check-python check-rust test test-rust unit format wheel peers fuzz \
	fuzz-planes clean

# Property tests try the same examples every time; PROPTEST_RNG_SEED=N tries others.
export PROPTEST_RNG_SEED ?= 1

CARGO := scripts/rust.sh cargo
NATIVE := --manifest-path sfu/dataplane/native/Cargo.toml
SWARM := --manifest-path loadtest/swarm/Cargo.toml

help:
	@echo "make setup   .venv with focus, loadtest and the tools"
	@echo "make demo    a homeserver, a focus and participants in a call; ARGS=\"--participants 4 --seconds 20 --check\""
	@echo "             over several foci: ARGS=\"--homeservers 3 --participants 6\""
	@echo "make check   formatting, lint, types, import contracts"
	@echo "make unit    the quick tests, on all cores"
	@echo "make test    check and all tests, with real homeservers, browsers and the native plane"
	@echo "make fuzz    the native plane's parsers and core, for a minute in all; SECONDS=600 TARGETS=\"rtcp vp9\""
	@echo "make fuzz-planes   random calls on both planes, compared byte by byte, for a minute; SECONDS=600"
	@echo "make peers   the other media servers of \`loadtest bench peers\`, into the user's cache"
	@echo "make wheel   dist/: an abi3 wheel with the native plane, for machines without Rust"

setup:
	@scripts/setup.sh

setup-tests:
	@scripts/setup.sh browsers native

demo: setup
	@.venv/bin/loadtest demo $(ARGS)

check: check-python check-rust

check-python: setup
	.venv/bin/ruff format --check .
	.venv/bin/ruff check .
	.venv/bin/mypy
	.venv/bin/lint-imports
	@.venv/bin/python scripts/check_size.py

check-rust:
	$(CARGO) fmt $(NATIVE) --all --check
	$(CARGO) fmt $(SWARM) --check
	$(CARGO) clippy --quiet $(NATIVE) --workspace --all-targets -- -D warnings
	$(CARGO) clippy --quiet $(SWARM) --features python --all-targets -- -D warnings

# What is in real time comes last, one after the other: calls need the machine for themselves.
test: setup-tests check test-rust unit
	.venv/bin/pytest -q -m "integration or e2e" $(ARGS)

# The module for Python can't be linked into a program of its own; its tests are pytest's.
test-rust:
	$(CARGO) test --quiet $(NATIVE) --workspace --exclude focus-native
	$(CARGO) test --quiet $(SWARM)

# They read no clock, so a core more or less changes nothing but the time they take.
unit: setup
	.venv/bin/pytest -q --numprocesses auto --dist worksteal -m "not integration and not e2e" $(ARGS)

format: setup
	.venv/bin/ruff format .
	.venv/bin/ruff check --fix .
	$(CARGO) fmt $(NATIVE) --all
	$(CARGO) fmt $(SWARM)

wheel: setup
	@scripts/wheel.sh

peers:
	@scripts/peers.sh

fuzz-planes: setup
	@.venv/bin/python scripts/fuzz_planes.py $(or $(SECONDS),60)

fuzz:
	@scripts/fuzz.sh "$(or $(SECONDS),60)" $(TARGETS)

clean:
	rm -rf .venv build dist target sfu/dataplane/*.so loadtest/*.so *.egg-info .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
