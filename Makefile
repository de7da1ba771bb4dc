# Every target works on a fresh clone: it first makes .venv and installs the project into it.
# The install is done again only when pyproject.toml changes.

PYTHON ?= python3
# A pair of releases known to work together. For another build: make TORCH="torch torchvision"
TORCH ?= torch==2.14.1 torchvision==0.29.1
# What pytest runs; the slow tests too: make test TESTS=
TESTS ?= -m "not slow"
# Test processes. Each takes one thread (below), so that they do not fight for the cores.
JOBS ?= logical

BIN := .venv/bin
STAMP := .venv/.installed

.DEFAULT_GOAL := help
.PHONY: help venv demo test lint types format clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

venv: $(STAMP) ## Make .venv and install the project with its tools

$(STAMP): pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $(TORCH)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable ".[dev]"
	@touch $@

demo: $(STAMP) ## Generate phantoms, train on them for two minutes, print the scores and the report's path
	$(BIN)/goodfit demo

test: $(STAMP) ## Run the tests
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(JOBS) --maxprocesses 4 --dist loadfile $(TESTS)

lint: $(STAMP) ## Check style and formatting
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(STAMP) ## Check types
	$(BIN)/mypy

format: $(STAMP) ## Mend style and formatting where that can be done by itself
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean: ## Remove .venv, caches and build products; runs/ stays
	rm -rf .venv build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find src tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +
