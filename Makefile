# Two commands do everything on a bare Debian or Ubuntu machine: `make demo` and `make test`.

SHELL := /bin/bash
VENV := .venv
BIN := $(VENV)/bin
CORES ?= all
# The first interpreter of a supported version.
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null && { command -v $$p; break; }; done)

.DEFAULT_GOAL := help
.PHONY: help demo test test-slow lint schemas lock ui clean prerequisites

help: ## show this
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

demo: $(VENV)/installed ## environment, then the headline tables on the built-in data and their report
	$(BIN)/snakemake --cores $(CORES)
	@$(BIN)/python -m seedbed.report.terminal results/demo

test: $(VENV)/installed ## environment, then the tests
	$(BIN)/python -m pytest -n 2 --dist worksteal

test-slow: $(VENV)/installed ## the slow tests: full-size networks and many kills
	$(BIN)/python -m pytest -m slow

lint: $(VENV)/installed ## what pre-commit checks, and snakemake --lint
	$(BIN)/pre-commit run --all-files
	$(BIN)/snakemake --lint

schemas: $(VENV)/installed ## the JSON schemas of params.yaml and papers/*.yaml, from the models
	$(BIN)/python -m seedbed.params schema
	$(BIN)/python -m seedbed.papers schema

lock: ## pin every dependency with hashes
	$(BIN)/uv pip compile --universal --python-version 3.11 --generate-hashes --all-extras --no-annotate --no-header \
		--quiet pyproject.toml -o requirements.lock

ui: $(VENV)/installed ## send what waits, then open MLflow on http://127.0.0.1:5000
	@$(BIN)/python -m seedbed.tracking results
	$(BIN)/mlflow ui --backend-store-uri "sqlite:///$(CURDIR)/results/mlflow.db" --host 127.0.0.1 --port 5000

clean: ## remove results and made data, keep the environment
	rm -rf results data/shapes* data/weights data/own_* .snakemake

prerequisites:
	@test -n "$(PYTHON)" || { echo "Python 3.11, 3.12 or 3.13 is missing: sudo apt-get install -y python3 python3-venv python3-dev"; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { echo "Python's venv is missing: sudo apt-get install -y python3-venv"; exit 1; }
	@test -f "$$($(PYTHON) -c 'import sysconfig; print(sysconfig.get_path("include"))')/Python.h" || { echo "Python's headers are missing: sudo apt-get install -y python3-dev"; exit 1; }
	@command -v g++ >/dev/null || { echo "g++ is missing (the dense CRF is compiled): sudo apt-get install -y g++"; exit 1; }

$(VENV)/installed: requirements.lock pyproject.toml | prerequisites
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@
