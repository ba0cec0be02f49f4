# `make help` lists the targets. Needed: git, make, Python 3.11 to 3.13 with venv, an OpenSSH client. All else is
# installed into .venv from the lock. To build with a certain Python: make test PYTHON=/path/to/python3.12

PYTHON ?= $(shell .ci/prerequisites.sh 2>/dev/null)
VENV ?= .venv
WORKERS ?= 2
PYTEST_ARGS ?=

BIN := $(VENV)/bin
READY := $(VENV)/.ready
# Molecule and ansible-lint call Ansible by name.
WITH_PATH := PATH="$(CURDIR)/$(BIN):$$PATH"
PYTEST := $(BIN)/python -m pytest -n $(WORKERS)
DOCS_TESTS := $(wildcard tests/test_docs.py tests/docs)

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' Makefile

.PHONY: prerequisites
prerequisites: ## Say what is missing on this machine, with the line that installs it
	@PYTHON="$(PYTHON)" .ci/prerequisites.sh >/dev/null

.PHONY: demo
demo: $(READY) ## Show scepfix at work: files diagnosed, a simulated fleet on 127.0.0.0/8 repaired; no root
	@$(BIN)/scepfix demo

.PHONY: test
test: $(READY) ## Run every test whose peer is present; list the absent peers at the end
	@$(PYTEST) $(PYTEST_ARGS); status=$$?; .ci/peers.sh --list; exit $$status

.PHONY: unit
unit: $(READY) ## Run the tests that are not slow
	$(PYTEST) -m "not slow" $(PYTEST_ARGS)

.PHONY: check
check: $(READY) ## Check format, lint, types, import directions, roles, shell scripts and docs
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -q tests/test_imports.py $(DOCS_TESTS)
	$(WITH_PATH) ansible-lint
	$(BIN)/shellcheck .ci/run $$(find . -name '*.sh' -not -path './.venv*' -not -path './.git/*')

.PHONY: molecule
molecule: $(READY) ## Run the Molecule scenarios of the roles
	$(WITH_PATH) molecule test --all

.PHONY: prove
prove: $(READY) ## Kill real runs 200 times at random, over real SSH, and look whether anybody is left behind (20 minutes)
	@folder=$$(mktemp -d) && $(BIN)/python -m tests.chaos.real "$$folder" --random 200; status=$$?; rm -rf "$$folder"; exit $$status

.PHONY: bench-logs
bench-logs: $(READY) ## Measure log reading against sha256sum and grep
	$(BIN)/python tests/benchmarks/logs.py

.PHONY: bench-device
bench-device: $(READY) ## Measure looking at devices against ssh, a playbook and pyinfra (openssh-server; half an hour)
	$(BIN)/python -m tests.benchmarks.device

.PHONY: bench-mdm
bench-mdm: $(READY) ## Measure what repairing 100 and 1,000 devices costs the MDM, with and without a 429 storm
	$(BIN)/python -m tests.benchmarks.mdm

.PHONY: peers
peers: ## Install the programs that tests compare with (root; Debian)
	@.ci/peers.sh

.PHONY: lock
lock: | prerequisites ## Write requirements/dev.txt anew; make lock UPGRADE=--upgrade takes newer versions
	$(PYTHON) -m venv .venv-lock
	.venv-lock/bin/python -m pip install --quiet uv==0.13.9
	.venv-lock/bin/uv pip compile --quiet --system-certs --universal --python-version 3.11 --generate-hashes --no-annotate \
	    --custom-compile-command "make lock" --group dev $(UPGRADE) pyproject.toml -o requirements/dev.txt

.PHONY: clean
clean: ## Remove what make, the tests and the builds left here
	rm -rf .venv .venv-* dist build .ansible .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(READY): requirements/dev.txt pyproject.toml hatch_build.py .ci/venv.sh | prerequisites
	@.ci/venv.sh "$(PYTHON)" $(VENV)
	@touch $@
