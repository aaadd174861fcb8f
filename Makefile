# Two commands do everything on a bare Debian or Ubuntu machine: `make demo` and `make test`.

SHELL := /bin/bash
VENV := .venv
BIN := $(VENV)/bin
CORES ?= all
LOCK := $(BIN)/uv pip compile --universal --python-version 3.11 --generate-hashes --extra all --extra docs --extra dev --no-annotate --no-header \
	--quiet pyproject.toml -o requirements.lock
# The first interpreter of a supported version.
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null && { command -v $$p; break; }; done)

.DEFAULT_GOAL := help
.PHONY: help install demo test test-slow coverage lint schemas docs wheel lock upgrade tables compare ui clean prerequisites

help: ## show this
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

install: $(VENV)/installed ## the environment in .venv, from the lock

demo: $(VENV)/installed ## environment, then the headline tables on the built-in data and their report; V=1 shows all
	$(BIN)/snakemake --cores $(CORES) $(if $(V),--logger-seedbed-show all)
	@$(BIN)/python -m seedbed.report.terminal results/demo

test: $(VENV)/installed ## environment, then the tests
	$(BIN)/python -m pytest -n 2 --dist worksteal

test-slow: $(VENV)/installed ## the slow tests: full-size networks, many kills, installing from the registry
	$(BIN)/python -m pytest -m slow

coverage: $(VENV)/installed ## the tests with coverage of the library, also in jobs, and of the rules
	rm -rf build/coverage && mkdir -p build/coverage
	$(BIN)/coverage run -m pytest -n 2 --dist worksteal --basetemp build/coverage/tests
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report
	$(BIN)/python tools/rules_run.py build/coverage/tests

lint: $(VENV)/installed ## what pre-commit checks, and snakemake --lint
	$(BIN)/pre-commit run --all-files
	$(BIN)/snakemake --lint

schemas: $(VENV)/installed ## the JSON schemas of params.yaml and papers/*.yaml, from the models
	$(BIN)/python -m seedbed.params schema
	$(BIN)/python -m seedbed.papers schema

docs: $(VENV)/installed ## the documentation as a site, in site/; warnings are errors
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict
	@echo "Open site/index.html; with search: $(BIN)/python -m http.server --bind 127.0.0.1 --directory site"

wheel: $(VENV)/installed ## wheel and source archive, in dist/
	rm -rf dist
	$(BIN)/python -m hatchling build

lock: $(VENV)/installed ## pin every dependency with hashes; versions stay where they fit
	$(LOCK)
	$(BIN)/python tools/pins.py

upgrade: $(VENV)/installed ## the newest versions into the lock, and how the demo's tables differ with them
	$(MAKE) tables RUN=build/before
	$(LOCK) --upgrade
	$(BIN)/python tools/pins.py
	$(MAKE) tables RUN=build/after
	$(MAKE) compare BEFORE=build/before AFTER=build/after

tables: $(VENV)/installed ## the demo in a folder of its own: RUN=build/before
	mkdir -p $(RUN)
	$(BIN)/snakemake --cores $(CORES) --directory $(RUN)

compare: $(VENV)/installed ## how the tables of two runs differ: BEFORE=build/before AFTER=build/after
	$(BIN)/python benchmarks/compare_tables.py $(BEFORE) $(AFTER)

ui: $(VENV)/installed ## send what waits, then open MLflow on http://127.0.0.1:5000
	@$(BIN)/python -m seedbed.tracking results
	@case "$$MLFLOW_TRACKING_URI" in \
		http://*|https://*) echo "Open $$MLFLOW_TRACKING_URI" ;; \
		*) MLFLOW_ALLOW_FILE_STORE=true $(BIN)/mlflow ui --host 127.0.0.1 --port 5000 \
			--backend-store-uri "$${MLFLOW_TRACKING_URI:-sqlite:///$(CURDIR)/results/mlflow.db}" ;; \
	esac

clean: ## remove what is made here again, and say what is left (archives, MLflow, your files); YES=1 asks nothing
	@PYTHONPATH=src $(or $(wildcard $(BIN)/python),$(PYTHON)) -m seedbed.clean $(if $(YES),--yes)

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
