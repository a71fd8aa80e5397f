# `make` lists the targets. Needed: CPython 3.11 or newer, and a package registry that pip can reach.

PYTHON ?=
JOBS ?= 2
ARGS ?=

VENV := .venv
BIN := $(VENV)/bin
SET_UP := $(VENV)/.installed

export PYTHON
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PIP_ROOT_USER_ACTION := ignore

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help run demo-check test check format fuzz conformance mutate bench attack soak protos lock clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo
	@echo '  ARGS="…" is passed on, for instance: make test ARGS="-k origin -x"'

run: $(SET_UP) ## set up, then the service, a real Envoy and a sample upstream, with curl lines to try
	@$(BIN)/authsvc demo $(ARGS)

demo-check: $(SET_UP) ## set up, run every line the demo prints, compare the answers
	@$(BIN)/authsvc demo --check $(ARGS)

test: $(SET_UP) ## set up, then the whole test suite
	@$(BIN)/pytest -n $(JOBS) -p tests.support.scheduling $(ARGS)

check: $(SET_UP) ## formatting, lint, types, layers, protos, Dockerfile, lock file
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/buf lint
	@PATH="$(CURDIR)/$(BIN):$$PATH" tools/check_breaking.sh
	$(BIN)/python tools/generate_protos.py --check
	$(BIN)/hadolint Dockerfile
	$(BIN)/python tools/check_lock.py

format: $(SET_UP) ## format the code and repair what ruff can
	@$(BIN)/ruff check --fix-only .
	@$(BIN)/ruff format .

fuzz: $(SET_UP) ## the property and fuzz tests, with 100,000 examples each
	@HYPOTHESIS_PROFILE=fuzz $(BIN)/pytest -n $(JOBS) $(wildcard tests/property tests/fuzz) $(ARGS)

conformance: $(SET_UP) ## the example products, request by request, with a table of every line they promise
	@$(BIN)/pytest -n $(JOBS) -p tests.support.scheduling -p tests.conformance.report tests/conformance $(ARGS)

mutate: $(SET_UP) ## remove each line of policy from the examples and see that a test would notice
	@$(BIN)/python -m tools.mutate $(ARGS)

bench: $(SET_UP) ## how fast (needs h2load; Go for the comparison); ARGS="--list" names the measures
	@$(BIN)/python -m bench $(ARGS)

attack: $(SET_UP) ## how long others wait while each listener is attacked; ARGS="--listener fast"
	@$(BIN)/python -m bench.attacks $(ARGS)

soak: $(SET_UP) ## an hour of mixed load, then whether memory stayed flat; ARGS="--minutes 10"
	@$(BIN)/python -m tools.soak $(ARGS)

protos: $(SET_UP) ## generate the Python stubs from protos/
	@$(BIN)/python tools/generate_protos.py

lock: ## resolve requirements.lock anew (needs uv)
	@command -v uv >/dev/null || { echo 'uv is missing: pip install uv' >&2; exit 1; }
	@tools/lock.sh

clean: ## remove what the other targets made, the set-up included
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .coverage build dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(SET_UP): requirements.lock pyproject.toml clients/python/pyproject.toml tools/set_up.sh
	@tools/set_up.sh $(VENV)
