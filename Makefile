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
	$(PYTHON) -m pytest -m "not wheel"

test-keras:
	$(PYTHON) -m pytest -m keras

benchmark:
	OPENBLAS_NUM_THREADS=1 $(PYTHON) -m pytest tests/benchmarks --benchmark-only

phantom-accuracy: # the table of weights/README.md
	$(PYTHON) demos/measure.py

wheel: # `make wheel MACHINE=aarch64` for the Raspberry Pi
	$(PYTHON) tools/wheel.py $(if $(MACHINE),--machine $(MACHINE))

test-wheel:
	$(PYTHON) -m pytest -m wheel

pi-cycles: # the table of docs/raspberry-pi.md
	$(PYTHON) tests/pi/cycles.py

test-pi: # an emulated Raspberry Pi, in build/pi
	PYTHON=$(PYTHON) tests/pi/emulated-pi.sh build/pi

clean:
	rm -rf .venv .venv-ci .venv.lock build dist *.egg-info .*_cache .hypothesis .benchmarks

.PHONY: check lint format typecheck test test-keras benchmark phantom-accuracy wheel test-wheel pi-cycles test-pi clean
