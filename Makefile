# Every check of the project is defined here and nowhere else.
# Each target first brings .venv up to date; a stamp makes that instant.

PYTHON ?= python3
WORKERS ?= 2
BENCH_ARGS ?= --quick

VENV := .venv
OLDEST := .venv-oldest
BIN := $(VENV)/bin
INSTALL := $(BIN)/pip install -qq --disable-pip-version-check -c constraints.txt

export MPLBACKEND := Agg

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL:
.PRECIOUS: $(VENV)/.stamp-%
.PHONY: help demo notebook test coverage test-slow test-oldest lint types docs bench clean

help: ## list the targets
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) \
		| awk -F ':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'

demo: $(VENV)/.stamp-audit ## clean real data that holds known wrong labels
	$(BIN)/python examples/demo.py

notebook: $(VENV)/.stamp-test ## run examples/audit.ipynb and store its outputs
	mkdir -p outputs
	cp examples/audit.ipynb outputs/
	env -u MPLBACKEND $(BIN)/jupyter execute --inplace outputs/audit.ipynb
	cp outputs/audit.ipynb examples/

test: $(VENV)/.stamp-test ## tests, docstrings, README and docs pages
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) -m "not slow" $(ARGS)

# By itself, since on Python 3.11 it takes half of the time again.
coverage: $(VENV)/.stamp-test ## the same, and which lines they have not reached
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) -m "not slow" \
		--cov --cov-report=term $(ARGS)

test-slow: $(VENV)/.stamp-test ## the tests that take more than a second each
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) -m slow $(ARGS)

# tests/influence needs torch alone, which has the same version here.
test-oldest: $(OLDEST)/.stamp ## the tests on the oldest versions that are allowed
	OMP_NUM_THREADS=1 $(OLDEST)/bin/python -m pytest -n $(WORKERS) -m "not slow" \
		tests --ignore tests/influence $(ARGS)

lint: $(VENV)/.stamp-dev ## ruff: rules and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.stamp-dev ## mypy
	$(BIN)/mypy

docs: $(VENV)/.stamp-docs ## build the HTML pages; warnings are errors
	OMP_NUM_THREADS=1 PYTHONWARNINGS=error::FutureWarning $(BIN)/python -m sphinx -b html -W --keep-going -q \
		docs docs/_build/html

bench: $(VENV)/.stamp-bench ## the quick tables of benchmarks/ (BENCH_ARGS= for all)
	@set -e; for file in benchmarks/[!_]*.py; do \
		echo "== $$file $(BENCH_ARGS)"; $(BIN)/python "$$file" $(BENCH_ARGS); done

clean: ## remove what the tools wrote (not .venv)
	rm -rf docs/_build docs/auto_examples docs/generated .coverage \
		.mypy_cache .pytest_cache .ruff_cache

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(OLDEST)/.stamp: pyproject.toml constraints-oldest.txt
	@echo "installing the oldest versions into $(OLDEST)"
	@test -x $(OLDEST)/bin/python || $(PYTHON) -m venv $(OLDEST)
	@$(OLDEST)/bin/pip install -qq --disable-pip-version-check \
		-c constraints-oldest.txt -e ".[test]"
	@touch $@

# .stamp-NAME: the package, editable, and its extra NAME are installed.
$(VENV)/.stamp-%: pyproject.toml constraints.txt | $(BIN)/python
	@echo "installing the extra $* into $(VENV)"
	@$(INSTALL) -e ".[$*]"
	@touch $@
