# The one place for what is done to this project by hand or by machine. `make help` lists it.

SHELL := /bin/sh
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

# Searched in this order; another one: make PYTHON=/path/to/python run
PYTHON ?=
READY := .venv/.ready
# Eight at most: all workers share one Postgres of 100 connections.
WORKERS ?= --numprocesses logical --maxprocesses 8 --dist worksteal
UV_LOCK := .venv/bin/uv pip compile pyproject.toml --universal --python-version 3.11 --all-extras \
	--generate-hashes --no-annotate --no-header --no-emit-index-url --no-emit-find-links --quiet $(if $(UPGRADE),--upgrade)

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-12s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

.PHONY: run
run: $(READY) ## Start the service, with an embedded Postgres unless DATABASE_URL is set
	@exec .venv/bin/task-executor serve

.PHONY: test
test: $(READY) ## Run all tests, in parallel
	@unset PYTHONDONTWRITEBYTECODE; exec .venv/bin/pytest $(WORKERS)

.PHONY: check
check: check-format check-lint check-types check-imports check-openapi check-settings ## Run the linters, the type checker and the walls
	@echo "All checks passed."

.PHONY: check-format check-lint check-types check-imports check-openapi check-settings
check-format: $(READY)
	.venv/bin/ruff format --check
check-lint: $(READY)
	.venv/bin/ruff check
check-types: $(READY)
	.venv/bin/mypy
check-imports: $(READY)
	.venv/bin/lint-imports --no-logo --cache-dir .venv/import-linter
check-openapi: $(READY)
	.venv/bin/task-executor openapi --check
check-settings: $(READY)
	.venv/bin/task-executor settings --check

.PHONY: bench
bench: $(READY) ## Measure the speed against an empty endpoint (a few minutes)
	.venv/bin/python -m tests.benchmarks

.PHONY: bench-claims
bench-claims: $(READY) ## Measure claims while a thousand, a hundred thousand and a million tasks wait (some minutes)
	.venv/bin/python -m tests.benchmarks.claims

.PHONY: fairness
fairness: $(READY) ## Print how fair the service is, simulated from the database to the start (a minute or two)
	.venv/bin/python -m tests.resources.report

.PHONY: chaos
chaos: $(READY) ## Run the fault tests in their full amounts (an hour or more)
	.venv/bin/pytest tests -m chaos -rP

.PHONY: openapi
openapi: $(READY) ## Write openapi/openapi.json anew
	.venv/bin/task-executor openapi

.PHONY: migrate
migrate: $(READY) ## Bring the schema of DATABASE_URL up to date
	.venv/bin/task-executor migrate

.PHONY: lock
lock: $(READY) ## Write the two locks anew from pyproject.toml (UPGRADE=1 takes the newest versions)
	$(UV_LOCK) --output-file requirements.lock
	$(UV_LOCK) --group dev --output-file requirements-dev.lock

.PHONY: clean
clean: ## Remove the environment and all caches; data stays
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis dist tests/output
	find app migrations tests -name __pycache__ -type d -prune -exec rm -rf {} +

# The environment, from the lock and nothing else. The stamp is written last: an interrupted run is taken up again,
# and a finished one costs nothing and needs no network. What an activated environment or a PYTHONPATH of the
# caller's would add is kept out.
$(READY): requirements-dev.lock pyproject.toml
	@set -e; unset PYTHONPATH PYTHONHOME VIRTUAL_ENV; \
	if ! .venv/bin/python -m pip --version >/dev/null 2>&1; then \
		for candidate in "$(PYTHON)" python3.13 python3.12 python3.11 python3; do \
			if [ -n "$$candidate" ] && "$$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; \
			then found="$$candidate"; break; fi; \
		done; \
		if [ -z "$${found:-}" ]; then \
			echo "Python 3.11 or newer is needed and none was found; make PYTHON=/path/to/python names one." >&2; exit 1; \
		fi; \
		if ! "$$found" -c 'import ensurepip, venv' 2>/dev/null; then \
			echo "$$found has no venv module. On Debian and Ubuntu: apt install python3-venv" >&2; exit 1; \
		fi; \
		echo "Making the environment in .venv with $$found (once, a minute or two)"; \
		"$$found" -m venv --clear .venv; \
	fi; \
	.venv/bin/python -m pip install -qq --disable-pip-version-check --require-hashes -r requirements-dev.lock || { \
		echo "The packages of requirements-dev.lock could not be had: pip has to reach its index this once. Repeat it then." >&2; \
		exit 1; \
	}; \
	.venv/bin/python -m pip install -qq --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@
