# `make help` lists what there is. Paths are relative to this folder, so that a space in its own path harms nothing:
# from elsewhere, say `make -C FOLDER`.

.DEFAULT_GOAL := help
.NOTPARALLEL:
SHELL := /bin/sh
MAKEFLAGS += --no-print-directory

PY := .venv/bin/python
READY := .venv/.ready
PYTEST_ARGS ?=
ARGS ?=

# A virtual environment knows its own address: one that was moved or copied along is made anew.
ifneq "$(shell cat $(READY) 2>/dev/null)" "$(CURDIR)"
.PHONY: $(READY)
endif

.PHONY: help
help: ## List the targets
	@awk 'BEGIN { FS = ":.*## " } /^[a-z-]+:.*## / { printf "  make %-10s  %s\n", $$1, $$2 }' Makefile

.PHONY: run
run: $(READY) ## Start the whole board here: servers, migrations, web, worker and scheduler; Ctrl-C ends it
	@exec $(PY) -m core.ops.run --then "first administrator" \
		'flask auth admin --if-none "$${ADMIN_EMAIL:-admin@example.com}"'

.PHONY: flask
flask: $(READY) ## A command on the running board, from another terminal: make flask ARGS="plugins list"
	@exec $(PY) -m core.ops.run -- flask $(ARGS)

.PHONY: test
test: lint ## Everything, on real servers: lint, types, import rules, all tests but the soak
	$(PY) -m pytest -n 2 --ignore=tests/soak --durations=20 $(PYTEST_ARGS)

.PHONY: check
check: lint ## In seconds: lint, types, import rules, and the tests that need no server
	$(PY) -m pytest -q -m unit --no-servers $(PYTEST_ARGS)

.PHONY: lint
lint: $(READY) ## Style, types and import rules
	$(PY) -m ruff check
	$(PY) -m ruff format --check
	$(PY) -m mypy
	$(PY) -c 'import sys; from importlinter.cli import lint_imports_command as check; sys.exit(check())' --no-logo

.PHONY: soak
soak: $(READY) ## The large runs
	$(PY) -m pytest --durations=20 tests/soak $(PYTEST_ARGS)

.PHONY: fmt
fmt: $(READY) ## Format the code and mend what can be mended
	$(PY) -m ruff check --fix
	$(PY) -m ruff format

.PHONY: docs
docs: $(READY) ## Write anew the pages that are made from the code
	$(PY) -m core.ops.error_docs

.PHONY: footprint
footprint: $(READY) ## Measure memory, modules and start time
	$(PY) -m benchmarks.footprint $(ARGS)

.PHONY: levers
levers: $(READY) ## Measure one by one what saves memory and time
	$(PY) -m benchmarks.levers $(ARGS)

.PHONY: bench-http
bench-http: $(READY) ## Load two routes, beside Express and Sequelize where Node is installed
	$(PY) -m benchmarks.http $(ARGS)

.PHONY: bench-data
bench-data: $(READY) ## List, read and add rows of a resource, beside the same
	$(PY) -m benchmarks.data $(ARGS)

.PHONY: bench-jobs
bench-jobs: $(READY) ## Put jobs on a queue and run them, beside BullMQ
	$(PY) -m benchmarks.jobs $(ARGS)

.PHONY: bench-auth
bench-auth: $(READY) ## Refreshes, and others' waits while people log in, beside the same
	$(PY) -m benchmarks.auth $(ARGS)

# The lock is compiled from pyproject.toml for all systems and Pythons at once, with hashes and without addresses.
.PHONY: lock
lock: $(READY) ## Renew requirements.txt and requirements/*.txt; ARGS="--upgrade" to newer versions
	@$(PY) -m pip install --quiet --require-hashes -r requirements/lock.txt
	@set -e; compile() { echo "$$2"; CUSTOM_COMPILE_COMMAND="make lock" UV_CUSTOM_COMPILE_COMMAND="make lock" \
		$(PY) -m uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
		$(ARGS) --output-file "$$2" "$$1" $$3; }; \
	compile pyproject.toml requirements.txt; \
	compile pyproject.toml requirements/dev.txt "--extra dev --constraint requirements.txt"; \
	compile requirements/lock.in requirements/lock.txt

.PHONY: clean
clean: ## Remove the virtual environment and what tools left; data in instance/ stay
	rm -rf .venv build *.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# -- the virtual environment ------------------------------------------------------------------------------------

# Called as `python -m …` throughout: the scripts in .venv/bin name their interpreter by its path.
$(READY): requirements/dev.txt pyproject.toml
	@set -e; \
	for python in $(PYTHON) python3 python3.13 python3.12 python3.11; do \
		"$$python" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' 2>/dev/null && break; \
		python=; \
	done; \
	test -n "$$python" || { echo "pegboard needs Python 3.11, 3.12 or 3.13: make run PYTHON=/path/to/python3" >&2; exit 1; }; \
	if ! test "$$(cat $(READY) 2>/dev/null)" = "$$(pwd -P)" || ! $(PY) -c '' 2>/dev/null; then \
		echo "making the virtual environment, once"; \
		"$$python" -c 'import ensurepip, venv' 2>/dev/null || { \
			echo "$$python cannot make virtual environments: install its venv package (Debian: python3-venv)" >&2; exit 1; }; \
		"$$python" -m venv --clear .venv; \
	else \
		echo "the requirements have changed"; \
	fi; \
	echo "installing $$(grep -c == requirements/dev.txt) packages into .venv (a minute or more)"; \
	test -t 1 && quiet= || quiet=--quiet; \
	$(PY) -m pip install $$quiet --disable-pip-version-check --only-binary :all: --require-hashes -r requirements/dev.txt; \
	$(PY) -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .; \
	pwd -P > $(READY)
