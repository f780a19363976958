# `make demo` and `make test` do all of their own set-up. What is set up leaves a stamp under .venv/ or build/,
# so the next run starts at once; a change to pyproject.toml, constraints.txt or the front-end list does it again.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules

PYTHON ?= python3
BIN := .venv/bin
# The warning that editable installs are for developers is nothing to tell somebody who typed `make demo`.
PIP := PYTHONWARNINGS=ignore $(BIN)/python -m pip --quiet --disable-pip-version-check
# More than the cores that CI has: many tests wait for a board, a broker or a browser.
WORKERS ?= 3
INPUTS ?= 10000000
export PYTHON
# pyright would ask the network for a newer version of itself.
export PYRIGHT_PYTHON_IGNORE_WARNINGS := 1

.PHONY: help setup setup-test demo test lint fix bench drill fuzz pictures audit constraints clean

help: ## List the targets
	@echo "Domino: two commands do everything, set-up included: make demo, make test"
	@echo
	@sed -nE 's/^([a-z-]+):.*## (.*)/\1\t\2/p' $(MAKEFILE_LIST) | while IFS=$$'\t' read -r target what; do printf '  make %-12s %s\n' "$$target" "$$what"; done

setup: .venv/installed cloud/static/vendor/.fetched ## What running Domino needs: packages and front-end files

setup-test: setup .venv/installed-for-tests build/stubs/installed ## What testing needs on top: tools, type stubs, Chromium, Mosquitto, PostgreSQL, promtool, wrk …
	@tools/setup/debian.sh chromium chromium-headless-shell libatomic1 mosquitto mosquitto-clients postgresql prometheus \
		systemd wrk e2fsprogs faketime iproute2 nftables  # libatomic1: Playwright's own node links to it

demo: setup ## Press a button on this machine and watch it become a stamped order
	@$(BIN)/domino demo

test: setup-test lint ## Check everything: lint, types, import contracts, all tests
	@$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile

lint: setup-test ## Check style, types and the import contracts
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/pyright --warnings
	@$(BIN)/pyright --warnings --project firmware
	@$(BIN)/lint-imports --no-logo

fix: setup-test ## Repair what ruff can repair by itself
	@$(BIN)/ruff check --fix
	@$(BIN)/ruff format

bench: setup-test ## Measure, each figure against a peer or a limit
	@$(BIN)/python -m tests.benchmarks.node_red || echo "Without Node-RED, which needs node and npm."
	@$(BIN)/python -m tests.benchmarks
	@$(BIN)/python -m tests.benchmarks.desk_pages

drill: setup-test ## Kill, cut, fill and flood every part in turn, and count what came of every press; as root, for about half an hour
	@$(BIN)/domino drill all

fuzz: setup-test .venv/installed-for-fuzz ## Fuzz every parser with 10 million inputs (INPUTS=…), for about half an hour
	@nice -n 19 $(BIN)/python -m tests.fuzz --inputs $(INPUTS)

pictures: setup-test ## Make the pictures in docs/images again
	@$(BIN)/python -m tests.browser.console_pictures
	@$(BIN)/python -m tests.browser.bench_pictures
	@$(BIN)/domino board life --chart docs/images/battery

audit: setup-test ## Ask for known vulnerabilities of the pinned packages
	@$(BIN)/pip-audit --requirement constraints.txt --disable-pip --no-deps --strict

constraints: setup-test ## Pin the newest versions that pyproject.toml allows
	@$(PIP) install --dry-run --ignore-installed --upgrade --no-build-isolation --report build/resolved.json setuptools '.[dev,fuzz,npm,train]' micropython-esp32-stubs
	@$(BIN)/python tools/setup/pin.py build/resolved.json > build/constraints.txt
	@mv build/constraints.txt constraints.txt

clean: ## Remove everything that set-up and tests made; data/ stays
	rm -rf .venv build cloud/static/vendor domino.egg-info .pytest_cache .ruff_cache .hypothesis .import_linter_cache

.venv/created:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Domino needs Python 3.11 or newer: make PYTHON=/path/to/python3.11"; exit 1; }
	@tools/setup/debian.sh python3-venv
	@echo "Setting up .venv (once) …"
	@$(PYTHON) -m venv --clear .venv
	@touch $@

# Without build isolation the pinned setuptools builds, not whichever is newest.
.venv/installed: .venv/created pyproject.toml constraints.txt
	@echo "Installing the pinned packages (once) …"
	@$(PIP) install --constraint constraints.txt setuptools
	@$(PIP) install --constraint constraints.txt --no-build-isolation --editable .
	@touch $@

.venv/installed-for-tests: .venv/installed
	@echo "Installing the test tools (once) …"
	@$(PIP) install --constraint constraints.txt --no-build-isolation --editable '.[dev]'
	@touch $@

cloud/static/vendor/.fetched: tools/setup/front_end.py | .venv/installed
	@command -v npm > /dev/null || $(PIP) install --constraint constraints.txt --no-build-isolation --editable '.[npm]'
	@$(BIN)/python tools/setup/front_end.py
	@touch $@

.venv/installed-for-fuzz: .venv/installed-for-tests
	@$(PIP) install --constraint constraints.txt --no-build-isolation --editable '.[fuzz]'
	@touch $@

# Not into .venv: the stubs shadow the standard library there.
build/stubs/installed: constraints.txt | .venv/created
	@rm -rf build/stubs
	@$(PIP) install --constraint constraints.txt --target build/stubs micropython-esp32-stubs
	@touch $@
