# Everything from a fresh clone, with nothing but Python >= 3.11 and make:
#
#   make demo    set up, then find the people of a sample photo
#   make test    set up what the tests need, then run them
#   make lint    ruff and mypy
#   make page    with npm: test the sources of the page in the browser and build it anew

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin

.PHONY: demo test lint page clean

demo: $(VENV)/user
	$(BIN)/wholebody predict examples/parkour.jpg --output out

test: $(VENV)/developer
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto

lint: $(VENV)/developer
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

page:
	cd web && npm ci && npm run check && npm test && npm run build

$(VENV)/user: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --editable .
	touch $@

$(VENV)/developer: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	touch $@ $(VENV)/user

clean:
	rm -rf $(VENV) out build dist web/node_modules
