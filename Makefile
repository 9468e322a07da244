# Everything from a fresh clone, with nothing but Python >= 3.11 and make:
#
#   make demo    set up, then find the people in a sample photo
#   make test    set up the test environment and run the tests, except the slow ones
#   make test-slow   the slow tests: kills, several processes, the longest golden numbers (CI runs both)
#   make test-peers  tests against other packages, which it installs: rtmlib, controlnet_aux, Pose2Sim, pose-format ...
#   make coverage    all tests, and the lines that none of them runs
#   make lint    ruff and mypy
#   make docs    the documentation site, in build/site, with every link checked
#   make gallery the pictures of the site's gallery
#   make package the wheel and the sdist, in dist, checked
#   make page    with npm: test the sources of the browser page and build it

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin

.PHONY: demo test test-slow test-peers coverage lint docs gallery package page clean

demo: $(VENV)/user
	$(BIN)/wholebody predict examples/parkour.jpg --output out

test: $(VENV)/developer
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto -m "not slow"
	@echo "The slow tests were left out: make test-slow runs them."

test-slow: $(VENV)/developer
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto -m slow

test-peers: $(VENV)/developer
	$(BIN)/python -m pip install --quiet --editable '.[dev,peers]'
	$(BIN)/python -m pip install --quiet --no-deps -r tests/peers.txt
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -rs tests/compat tests/formats

coverage: $(VENV)/developer
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --cov

lint: $(VENV)/developer
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: $(VENV)/writer
	$(BIN)/python -m website.build

gallery: $(VENV)/user
	$(BIN)/python -m website.gallery

package: $(VENV)/packager
	rm -rf dist
	$(BIN)/python -m build
	$(BIN)/python -m twine check --strict dist/*
	$(BIN)/check-wheel-contents dist/*.whl

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

$(VENV)/writer: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --editable '.[docs]'
	touch $@ $(VENV)/user

$(VENV)/packager: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet build twine check-wheel-contents
	touch $@

clean:
	rm -rf $(VENV) out build dist web/node_modules
