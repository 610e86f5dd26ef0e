# Everything happens in .venv, which `make setup` makes; demo, test and lint make it when it is missing.
PYTHON ?= python3.11
BIN := .venv/bin
READY := .venv/.ready

.PHONY: help setup demo test test-slow lint format

help:            ## this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 16

setup: $(READY)  ## make .venv with everything, extras included

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt "hatchling>=1.27" editables
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-build-isolation -c constraints.txt -e ".[nni,openvino,postgres,dev]"
	@touch $(READY)

demo: $(READY)   ## the whole main job on small real images, in under ten minutes
	$(BIN)/nas demo

test: $(READY)   ## the test suite
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m "not slow" -n 2 --dist loadfile

test-slow: $(READY)  ## the tests that take minutes each
	$(BIN)/python -m pytest -m slow

lint: $(READY)   ## formatting, style, types, import contracts
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(READY) ## format and fix what can be fixed
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .
