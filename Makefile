# Phaseboard: `make run` starts the portal, `make test` proves it. Plain `make` lists everything.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
T      ?= tests
JOBS   ?= 2

.DEFAULT_GOAL := help
.PHONY: help run test check format lock lab storm clean

help: ## list what can be made
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-14s %s\n", $$1, $$2}'

$(VENV)/.installed: requirements.lock
	@echo "Creating the environment in $(VENV) (once, about a minute)"
	@$(PYTHON) -c 'import sys; sys.exit("Phaseboard needs Python 3.11 or newer; set PYTHON=/path/to/python3.11") if sys.version_info < (3, 11) else None'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@touch $@

$(VENV)/.dev: requirements-dev.lock $(VENV)/.installed
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.lock
	@touch $@

staticfiles/staticfiles.json: $(VENV)/.installed $(shell find static -type f 2>/dev/null)
	@$(BIN)/python manage.py collectstatic --noinput --clear --verbosity 0

run: $(VENV)/.installed staticfiles/staticfiles.json ## start the portal on embedded defaults (PORTAL_PORT, PORTAL_KUBECONFIG, DATABASE_URL, REDIS_URL …)
	@exec $(BIN)/python manage.py serve

test: check ## everything CI proves: check, then all tests (T=path for some; JOBS=n files side by side)
	@$(BIN)/python -m pytest -n $(JOBS) --dist loadfile $(T)

check: $(VENV)/.dev ## format, lint, types, layers, migrations
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/ruff check --quiet .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo
	@$(BIN)/python manage.py makemigrations --check --dry-run --verbosity 0
	@DJANGO_SECRET_KEY=check-only-check-only-check-only-check-only-0123456789-abcdef PORTAL_HTTPS=1 $(BIN)/python manage.py check --deploy --fail-level WARNING

format: $(VENV)/.dev ## format and fix what can be fixed
	@$(BIN)/ruff format --quiet .
	@$(BIN)/ruff check --fix --quiet .

lock: $(VENV)/.dev ## resolve pyproject.toml into the two lock files again
	@$(BIN)/python -m pip install --quiet uv
	@$(BIN)/uv pip compile pyproject.toml --universal --generate-hashes --no-emit-index-url --no-header --python-version 3.11 -q -o requirements.lock
	@$(BIN)/uv pip compile pyproject.toml --group dev --universal --generate-hashes --no-emit-index-url --no-header --python-version 3.11 -q -o requirements-dev.lock

storm: $(VENV)/.dev ## many runs, each killed, cut or delayed somewhere, judged by the API server's ledger (RUNS=300 SEED=7; AGAINST=KUBECONFIG AUDIT=FILE: a real one)
	@$(BIN)/python -m tests.faults.storm --runs $(or $(RUNS),300) --seed $(or $(SEED),7) $(if $(AGAINST),--against $(AGAINST) --audit $(AUDIT))

lab: $(VENV)/.installed ## only the demo cluster (SCENARIO=…, prints its kubeconfig)
	@mkdir -p .phaseboard/lab
	@exec $(BIN)/python manage.py lab --scenario $(or $(SCENARIO),grafana-broken) --kubeconfig .phaseboard/lab/kubeconfig

clean: ## remove the environment, caches and everything `make run` stored
	rm -rf $(VENV) .phaseboard staticfiles .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
