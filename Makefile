# Every target sets up what it needs: a virtual environment in .venv and the packages of the locks.
PYTHON ?= python3
BIN := .venv/bin
CONFIG ?= configs/sample.toml
CATALOGUE ?= data/catalogue.csv
PORT ?= 8077
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check
# Every file that is installed has the hash that its lock says, and nothing but this project is built here.
INSTALLER := python -m pip --quiet --disable-pip-version-check install --require-hashes --only-binary :all: --requirement
INSTALL := $(BIN)/$(INSTALLER)
# One package of the benchmarks, pyvips, has no wheel.
INSTALL_WITH_SOURCES := $(subst --only-binary :all:,,$(INSTALL))
# The locks hold names, versions and hashes only.
LOCK := build/lock/bin/pip-compile --quiet --generate-hashes --allow-unsafe --no-strip-extras --no-header --no-annotate --no-emit-options
SECONDS ?= 3600
INPUTS ?= 0
SOURCES := pipeline tests data

.PHONY: run test lint check format types serve bench bench-prepare bench-fetch bench-engine bench-index bench-resume bench-poison bench-report bench-providers attack crash copies fuzz sbom lock clean

run: .venv/runtime
	@$(BIN)/image-insights run $(CONFIG); code=$$?; [ $$code -le 1 ] || exit $$code

test: .venv/test
	@$(BIN)/python -m pytest -q --numprocesses 2 --dist worksteal

lint: .venv/test
	@$(BIN)/ruff check $(SOURCES)
	@$(BIN)/ruff format --check $(SOURCES)

types: .venv/test
	@$(BIN)/mypy

format: .venv/test
	@$(BIN)/ruff format $(SOURCES)
	@$(BIN)/ruff check --fix $(SOURCES)

check: format lint types test

serve: .venv/runtime
	@$(BIN)/image-insights serve --catalogue $(CATALOGUE) --port $(PORT)

bench: bench-prepare bench-fetch bench-engine bench-index bench-resume bench-poison bench-report bench-providers

bench-prepare: .venv/bench
	@$(BIN)/python tests/benchmarks/prepare.py

bench-fetch: .venv/bench
	@$(BIN)/python tests/benchmarks/fetch.py

bench-engine: .venv/bench
	@$(BIN)/python tests/benchmarks/engine.py
	@$(BIN)/python -m tests.benchmarks.text

bench-index: .venv/bench
	@$(BIN)/python -m tests.benchmarks.index

bench-resume: .venv/bench
	@$(BIN)/python -m tests.benchmarks.resume

bench-report: .venv/bench
	@$(BIN)/python -m tests.benchmarks.report

bench-providers: .venv/bench
	@$(BIN)/python -m tests.benchmarks.providers

attack: .venv/test
	@$(BIN)/python -m tests.attack

bench-poison: .venv/bench
	@$(BIN)/python -m tests.benchmarks.poison

crash: .venv/test
	@$(BIN)/python -m pytest -q tests/runner/test_crash.py --long

copies: .venv/test
	@$(BIN)/python -m pytest -q tests/service/engine/test_copies.py --long

# Tries inputs that are nearly right on every parser of strangers' bytes; what fails is tried first the next time.
# make fuzz INPUTS=2000 tries the same ones each time.
fuzz: .venv/test
	@$(BIN)/python -m tests.fuzz --seconds $(SECONDS) --inputs $(INPUTS)

clean:
	rm -rf .venv build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage

.venv/bin/python:
	@$(PYTHON) -m venv .venv

.venv/runtime: .venv/bin/python requirements.lock pyproject.toml
	@$(INSTALL) requirements.lock
	@$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@

.venv/test: .venv/runtime requirements-test.lock
	@$(INSTALL) requirements-test.lock
	@touch $@

.venv/bench: .venv/test requirements-bench.lock
	@$(INSTALL_WITH_SOURCES) requirements-bench.lock
	@touch $@

# Lists what a run installs, with hashes: build/sbom.json, in the form of CycloneDX.
sbom:
	@[ -x build/sbom/bin/cyclonedx-py ] || $(PYTHON) -m venv build/sbom
	@build/sbom/bin/$(INSTALLER) requirements-sbom.lock
	@PYTHONWARNINGS=ignore build/sbom/bin/cyclonedx-py requirements requirements.lock --pyproject pyproject.toml --output-reproducible --output-file build/sbom.json

# Brings the locks up to date with pyproject.toml; make lock UPGRADE=--upgrade takes the newest versions.
lock:
	@rm -rf build/lock && $(PYTHON) -m venv build/lock
	@build/lock/bin/python -m pip --quiet --disable-pip-version-check install pip-tools
	@$(LOCK) $(UPGRADE) --all-extras --all-build-deps --output-file requirements-bench.lock pyproject.toml
	@sed -E 's/\[[a-z,-]+\]==/==/' requirements-bench.lock > build/lock/pins.txt
	@$(LOCK) --extra service --extra test --all-build-deps --constraint build/lock/pins.txt --output-file requirements-test.lock pyproject.toml
	@$(LOCK) --extra service --all-build-deps --constraint build/lock/pins.txt --output-file requirements.lock pyproject.toml
	@echo "cyclonedx-bom>=7" | $(LOCK) $(UPGRADE) --output-file requirements-sbom.lock -
