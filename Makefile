# Two commands for a newcomer: `make demo` and `make test`. Both make .venv and install what they need.
PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin
FUZZ_SECONDS ?= 3600

.PHONY: demo test fuzz lint format pages clean

demo: $(VENV)/.installed
	$(RUN)/python -m benchmarks.product.demo

test: $(VENV)/.installed-dev
	$(RUN)/python -m pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder

# Checkpoints, arrays, folders and tables for a quarter of the time; changed recipes, plans and labels for a quarter;
# damaged images, a quarter by a seed, a quarter guided by coverage. Every run tries others. Faults are in the output.
fuzz: $(VENV)/.installed-dev
	cd tests && ../$(RUN)/python -m fuzz.checkpoints --seconds $$(($(FUZZ_SECONDS) / 12))
	cd tests && ../$(RUN)/python -m fuzz.arrays --seconds $$(($(FUZZ_SECONDS) / 12))
	cd tests && ../$(RUN)/python -m fuzz.sources --seconds $$(($(FUZZ_SECONDS) / 12))
	cd tests && ../$(RUN)/python -m fuzz.text --seconds $$(($(FUZZ_SECONDS) / 4))
	cd tests && ../$(RUN)/python -m fuzz.images --seconds $$(($(FUZZ_SECONDS) / 4))
	$(RUN)/python -m pip install --quiet atheris || true
	cd tests && ../$(RUN)/python -m fuzz.guided --seconds $$(($(FUZZ_SECONDS) / 4))

lint: $(VENV)/.installed-dev
	$(RUN)/ruff check .
	$(RUN)/ruff format --check .
	$(RUN)/mypy

format: $(VENV)/.installed-dev
	$(RUN)/ruff check --fix .
	$(RUN)/ruff format .

pages: $(VENV)/.installed
	$(RUN)/python -m benchmarks.lib.pages

clean:
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .ruff_cache .mypy_cache .hypothesis

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: setup.cfg pyproject.toml | $(VENV)/bin/python
	$(RUN)/python -m pip install --quiet --editable .
	touch $@

$(VENV)/.installed-dev: setup.cfg pyproject.toml | $(VENV)/bin/python
	$(RUN)/python -m pip install --quiet --editable ".[dev]"
	touch $@
