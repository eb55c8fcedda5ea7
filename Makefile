# Every target sets up what it needs: a virtual environment in .venv and the packages of requirements.lock.
PYTHON ?= python3
BIN := .venv/bin
CONFIG ?= configs/sample.toml
CATALOGUE ?= data/catalogue.csv
PORT ?= 8077
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check
SOURCES := pipeline tests data

.PHONY: run test lint check format types serve bench bench-prepare bench-fetch bench-engine bench-index bench-resume bench-report crash lock clean

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

bench: bench-prepare bench-fetch bench-engine bench-index bench-resume bench-report

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

crash: .venv/test
	@$(BIN)/python -m pytest -q tests/runner/test_crash.py --long

clean:
	rm -rf .venv build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage

.venv/bin/python:
	@$(PYTHON) -m venv .venv

.venv/runtime: .venv/bin/python requirements.lock pyproject.toml
	@$(PIP) install --constraint requirements.lock --editable ".[service]"
	@touch $@

.venv/test: .venv/runtime
	@$(PIP) install --constraint requirements.lock --editable ".[service,test]"
	@touch $@

.venv/bench: .venv/test
	@$(PIP) install --constraint requirements.lock --editable ".[service,test,bench]"
	@touch $@

lock:
	@rm -rf build/lock && $(PYTHON) -m venv build/lock
	@build/lock/bin/python -m pip --quiet --disable-pip-version-check install --editable ".[service,test,redis,bench]"
	@(echo "# The versions this project is tested with; make installs within them. Made by: make lock"; \
	  build/lock/bin/python -m pip --disable-pip-version-check freeze --exclude-editable) > requirements.lock
