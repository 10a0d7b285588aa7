# The commands of Tessera. A newcomer needs two: `make run` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DEV := $(VENV)/.installed-dev
LOCAL := $(VENV)/.installed-local
BENCHMARKS := $(filter-out harness peers forecasting_panels forecasting_peers,$(basename $(notdir $(wildcard benchmarks/[a-z]*.py))))

.DEFAULT_GOAL := help
.PHONY: help run test check bench protos schema format lock install clean

help: ## Show the commands
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## (.*)/  make \1\t\2/' | expand -t 20

run: $(LOCAL) ## Start the platform here, load the sample retailer and show what it does
	@$(BIN)/python -m deploy.local

install: $(DEV) ## Install everything that developing needs into .venv

test: $(DEV) ## Run the whole test suite, a process a core
	@$(BIN)/python -m pytest --numprocesses auto --maxprocesses 4

check: $(DEV) ## Format, lint, types, import contracts, contracts, generated code, SDL
	@$(BIN)/ruff format --check --quiet . || { echo 'format: run `make format`'; exit 1; }
	@$(BIN)/ruff check --quiet .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache --no-logo > /dev/null || { $(BIN)/lint-imports --no-cache --no-logo; exit 1; }
	@$(BIN)/buf lint
	@$(BIN)/python protos/generate.py --check
	@$(BIN)/python -m gateway.schema --check
	@echo 'check: everything is in order'

bench: $(DEV) ## Run the benchmarks (JSON=1: one object a line)
	@for name in $(BENCHMARKS); do $(BIN)/python -m benchmarks.$$name $(if $(JSON),--json) || exit 1; done

protos: $(DEV) ## Generate code from the contracts
	@$(BIN)/python protos/generate.py

schema: $(DEV) ## Print the GraphQL schema to gateway/schema.graphql
	@$(BIN)/python -m gateway.schema

format: $(DEV) ## Format the code
	@$(BIN)/ruff format --quiet .
	@$(BIN)/ruff check --quiet --fix .

lock: $(DEV) ## Write constraints.txt from what is installed
	@$(BIN)/python -m pip list --format=freeze --exclude tessera --exclude pip --exclude setuptools --exclude wheel \
		| sed 's/+cpu//' > constraints.txt

clean: ## Remove what was installed and stored
	@rm -rf $(VENV) .data .tools

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Tessera needs Python 3.11 or newer; set PYTHON=…")'
	@$(PYTHON) -m venv $(VENV) || { echo 'Python lacks venv: install it (Debian: python3-venv)'; exit 1; }

$(LOCAL): pyproject.toml constraints.txt | $(VENV)/bin/python
	@echo 'installing the pinned dependencies into .venv (some minutes the first time)'
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[local]'
	@touch $@

$(DEV): pyproject.toml constraints.txt | $(VENV)/bin/python
	@echo 'installing the pinned dependencies into .venv (some minutes the first time)'
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@touch $@ $(LOCAL)
