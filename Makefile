# matrix-focus: `make demo` shows a call, `make test` runs everything. Each does its own set-up.
.PHONY: help setup setup-tests demo check test unit format clean

help:
	@echo "make setup   .venv with focus, loadtest and the tools"
	@echo "make demo    a homeserver, a focus and participants in a call; ARGS=\"--participants 4 --seconds 20 --check\""
	@echo "make check   formatting, lint, types, import contracts"
	@echo "make unit    the quick tests"
	@echo "make test    check and all tests, with real homeservers and browsers"

setup:
	@scripts/setup.sh

setup-tests:
	@scripts/setup.sh browsers

demo: setup
	@.venv/bin/loadtest demo $(ARGS)

check: setup
	.venv/bin/ruff format --check .
	.venv/bin/ruff check .
	.venv/bin/mypy
	.venv/bin/lint-imports
	@.venv/bin/python scripts/check_size.py

unit: setup
	.venv/bin/pytest -q -m "not integration and not e2e" $(ARGS)

test: setup-tests check
	.venv/bin/pytest -q $(ARGS)

format: setup
	.venv/bin/ruff format .
	.venv/bin/ruff check --fix .

clean:
	rm -rf .venv build *.egg-info .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
