# Every target does its own set-up in a virtual environment inside the project; nothing is installed elsewhere.
PYTHON ?= $(shell for p in python3.12 python3.11 python3; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet -c constraints.txt

.PHONY: demo test test-all lint docs bench gpu readme format clean

demo: .venv/base.stamp        ## train a network on drawn scenes and write its atlas, in about two minutes
	$(BIN)/minizf demo

test: .venv/test.stamp        ## all tests, except those over ten seconds
	$(BIN)/python -m pytest

test-all: .venv/test.stamp    ## all tests, the slow proofs too
	$(BIN)/python -m pytest --run-slow

lint: .venv/lint.stamp        ## format, lint and types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: .venv/lint.stamp
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

docs: .venv/docs.stamp        ## the lessons as a small site: lessons/_build/html/index.html
	$(BIN)/sphinx-build --fail-on-warning --keep-going -q -c lessons/site -b html lessons lessons/_build/html
	@echo "the lessons are at lessons/_build/html/index.html"

bench: .venv/oracle.stamp     ## kernels against PyTorch, projections against Captum, taking turns in one process each
	$(BIN)/minizf bench --set seven,zfnet64 --full --peer torch --json kernels/bench/results/cpu.json --plot kernels/bench/results/cpu.png
	$(BIN)/python -m tests.oracle.time_projections --json lessons/results/projections.json

gpu:                          ## kernels on an NVIDIA GPU: right, clean, fast? With a Python that has CuPy, else in the venv
	@python=$$(for p in $(PYTHON) python3; do $$p -c 'import cupy' 2>/dev/null && echo $$p && break; done); \
	if [ -z "$$python" ] && command -v nvidia-smi >/dev/null; then \
		$(MAKE) --no-print-directory .venv/cuda.stamp && python=$(BIN)/python; fi; \
	$${python:-$(PYTHON)} -m tests.gpu --json runs/gpu.json

readme: demo                  ## the pictures and numbers of README.md, from runs/demo and lessons/results
	$(BIN)/python lessons/pictures/write_readme.py

.venv/bin/python:
	@test -n "$(PYTHON)" || { echo "minizf needs Python 3.11 or newer; none was found (set PYTHON=/path/to/python3.11)"; exit 1; }
	$(PYTHON) -m venv .venv

.venv/base.stamp: .venv/bin/python pyproject.toml constraints.txt
	$(PIP) --editable .
	@touch $@

.venv/test.stamp .venv/lint.stamp .venv/docs.stamp .venv/oracle.stamp .venv/cuda.stamp: .venv/%.stamp: .venv/base.stamp
	$(PIP) --editable '.[$*]'
	@touch $@

clean:
	rm -rf .venv lessons/_build build *.egg-info
