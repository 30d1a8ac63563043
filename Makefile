# Two commands: `make bench` runs the main job, `make test` the tests; both do all the set-up.
# Options of the experiment: make bench ARGS="--cv_task classification --memory 1536"

SHELL := /bin/bash
.DEFAULT_GOAL := help
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
ARGS ?=
WORKERS ?= 3
PIP := $(BIN)/python -m pip --disable-pip-version-check --no-input

.PHONY: help bench test test-all fuzz check lock clean-venv

help:
	@echo "make bench   the seed's 24 cells on the local platform (ARGS=... for options of 'serverless-mlperf run')"
	@echo "make test    lint, types and tests (WORKERS=3: by three processes, as many wait most of the time)"
	@echo "make test-all  the same with what is long: pages of minutes, every package built twice"
	@echo "make fuzz    the function against 15,000 events and inputs of any kind, the local platform against 200,000"
	@echo "make check   lint and types alone"
	@echo "make lock    resolve requirements.lock and the wheels of Lambda's layers anew (needs uv)"

bench: $(READY)
	$(BIN)/serverless-mlperf run $(ARGS)

test: check
	$(BIN)/python -m pytest -n $(WORKERS) $(ARGS)

test-all: check
	SERVERLESS_MLPERF_LONG=1 $(BIN)/python -m pytest -n $(WORKERS) $(ARGS)

fuzz: $(READY)
	HYPOTHESIS_PROFILE=thorough SERVERLESS_MLPERF_FUZZ_CASES=100000 $(BIN)/python -m pytest \
	  tests/unit/sut/test_sut_fuzz.py tests/unit/platforms/local/test_front_fuzz.py $(ARGS)

check: $(READY)
	$(BIN)/ruff format --check -q .
	$(BIN)/ruff check -q .
	$(BIN)/mypy

# The stamp is made last: a set-up that was cut off is done again.
$(READY): requirements.lock pyproject.toml tools/find_python.sh
	@python="$$(bash tools/find_python.sh)" || exit 2; \
	if [ ! -x $(BIN)/python ] || ! $(BIN)/python -c '' 2>/dev/null; then \
	  echo "set-up: $(VENV) with $$python"; rm -rf $(VENV); "$$python" -m venv $(VENV); \
	fi
	@echo "set-up: installing what requirements.lock pins (about a minute)"
	@$(PIP) install --quiet --require-hashes --requirement requirements.lock 2> >(grep -v "^WARNING: Location" >&2)
	@$(PIP) install --quiet --no-deps --no-build-isolation --editable . 2> >(grep -v "^WARNING: Location" >&2)
	@touch $@

lock: $(READY)
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-header --no-emit-index-url \
	  --group dev pyproject.toml --output-file requirements.lock
	$(BIN)/python tools/pin_wheels.py

clean-venv:
	rm -rf $(VENV)
