# `make up` on a fresh machine is all that is needed; `make help` lists the rest.
.DEFAULT_GOAL := help
SHELL := /bin/bash

# The system's own Python is compiled with its profile and runs the gateway a sixth faster than most others.
PYTHON ?= $(shell /usr/bin/python3.11 -c 'import ensurepip' 2>/dev/null && echo /usr/bin/python3.11 || command -v python3.11 || command -v python3)
# Most of the time of most tests is waiting, while one worker keeps the real engine busy; no process takes more than one core.
WORKERS ?= 3
LOGS := .praxis/logs
INSTALL := @$(PYTHON) -m praxis.up.environment

export MODEL
# Without bytecode every process compiles all that it imports: an engine's start takes twice as long.
unexport PYTHONDONTWRITEBYTECODE

help: ## What can be made
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

up: install ## Everything on this machine: engine, gateway, rag, UI. MODEL=smollm2 | folder | hub id serves another model
	@exec .venv/bin/praxis up

install: python ## The environment of Praxis alone (.venv)
	$(INSTALL) "Environment of Praxis (.venv)" .venv requirements/praxis.txt --project . --log $(LOGS)/pip-praxis.log

test: debian install-test ## Every test, the real engine and the real browser included
	@$(MAKE) --no-print-directory check
	@MODEL=smollm2 .venv/bin/praxis up --prepare
	@OMP_NUM_THREADS=1 .venv/bin/pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder --max-worker-restart 0

check: ## Lint, format, types and the import rule
	@.venv/bin/ruff check .
	@.venv/bin/ruff format --check .
	@.venv/bin/mypy
	@.venv/bin/pytest -q tests/praxis/test_imports.py

bench: install ## The quick benchmarks
	@.venv/bin/praxis bench gateway

show: install ## Does a fine-tune help, do documents help: trains an adapter here and measures it (a quarter of an hour on two cores)
	@.venv/bin/python -m bench.showcase

debian:
	@deploy/debian-packages

install-test: python
	$(INSTALL) "Environment of the tests (.venv)" .venv requirements/test.txt --project . --log $(LOGS)/pip-test.log
	$(INSTALL) "Environment of the newest clients (.venv-clients)" .venv-clients requirements/clients.txt --log $(LOGS)/pip-clients.log

python:
	@$(PYTHON) -c 'import sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
	  { echo "Praxis needs Python 3.11 or newer: apt-get install python3 python3-venv, or give one with PYTHON=…" >&2; exit 1; }

.PHONY: help up install test check bench show debian install-test python
