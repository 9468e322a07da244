# Everything from a fresh clone, with nothing but Python >= 3.11 and make:
#
#   make demo    set up, then find the people of a sample photo
#   make test    set up what the tests need, then run them
#   make lint    ruff and mypy

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin

.PHONY: demo test lint clean

demo: $(VENV)/user
	$(BIN)/wholebody predict examples/parkour.jpg --output out

test: $(VENV)/developer
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto

lint: $(VENV)/developer
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

$(VENV)/user: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --editable .
	touch $@

$(VENV)/developer: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	touch $@ $(VENV)/user

clean:
	rm -rf $(VENV) out build dist
