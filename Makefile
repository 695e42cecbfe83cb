PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# Python compiles what it imports; compiling all that is installed takes a third of the time.
INSTALL := $(BIN)/python -m pip --disable-pip-version-check install --quiet --no-compile
WORKERS ?= auto
COVERAGE ?=
# The newest JAX is for Python 3.12 and newer: `make bench` takes 3.13 where it is found, unless told.
PRINT := -c 'import sys; print(sys.executable)' 2>/dev/null
NEWEST = $(addprefix VENV=.venv-3.13 PYTHON=,$(shell \
  PYENV_VERSION=3.13.0 python3.13 $(PRINT) || python3.13 $(PRINT)))

.PHONY: demo test slow catalogue bench timings install lint format types pictures clean

demo: $(VENV)/installed  ## run the lecture's experiments into out/tour/
	$(BIN)/jaxpercep tour

test: install lint types  ## lint, type-check, run the tests; COVERAGE=--cov counts lines
	$(BIN)/pytest -n $(WORKERS) $(COVERAGE)

slow: install  ## run the tests that take long, which `make test` leaves out
	$(BIN)/pytest -n $(WORKERS) --dist=worksteal $(COVERAGE) -m "slow and not corpus and not fuzz"

catalogue: install  ## compare every wrong backward pass of the corpus
	$(BIN)/pytest -n $(WORKERS) --dist=loadgroup -m corpus

bench:  ## time every method beside its peers, on the newest JAX: under 20 minutes
	$(MAKE) timings $(if $(filter command environment,$(origin PYTHON) $(origin VENV)),,$(NEWEST))

timings: install
	$(BIN)/python -m benchmarks

install: $(VENV)/installed-dev

lint: $(VENV)/installed-dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check

types: $(VENV)/installed-dev
	$(BIN)/pyrefly check --min-severity=warn

format: $(VENV)/installed-dev
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

pictures: demo  ## renew the pictures of docs/
	cp out/tour/*.png docs/images/
	$(BIN)/jaxpercep sweep xor
	for name in learned losses; do cp out/sweep/$$name.png docs/images/sweep_$$name.png; done

clean:
	rm -rf $(VENV) out build dist *.egg-info .coverage .pytest_cache .ruff_cache .hypothesis

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/installed: $(BIN)/python pyproject.toml constraints.txt
	$(INSTALL) -c constraints.txt -e '.[cli]'
	touch $@

$(VENV)/installed-dev: $(BIN)/python pyproject.toml constraints.txt
	$(INSTALL) -c constraints.txt -e '.[dev]'
	touch $@ $(VENV)/installed
