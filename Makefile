# One line each. The tools come with: pip install -e '.[dev]'  (and '.[train]' for test-keras)
PYTHON ?= python

check: lint typecheck test

lint:
	$(PYTHON) -m ruff check . && $(PYTHON) -m ruff format --check .

format:
	$(PYTHON) -m ruff check --fix . && $(PYTHON) -m ruff format .

typecheck:
	$(PYTHON) -m mypy

test:
	$(PYTHON) -m pytest

test-keras:
	$(PYTHON) -m pytest -m keras

benchmark:
	OPENBLAS_NUM_THREADS=1 $(PYTHON) -m pytest tests/benchmarks --benchmark-only

phantom-accuracy: # the table of weights/README.md
	$(PYTHON) demos/measure.py

package:
	$(PYTHON) -m pip wheel --quiet --no-deps --wheel-dir dist .

clean:
	rm -rf .venv .venv-ci .venv.lock build dist *.egg-info .*_cache .hypothesis .benchmarks

.PHONY: check lint format typecheck test test-keras benchmark phantom-accuracy package clean
