PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# Python compiles what it imports; compiling all that is installed takes a third of the time.
INSTALL := $(BIN)/python -m pip --disable-pip-version-check install --quiet --no-compile
WORKERS ?= auto
COVERAGE ?=

.PHONY: demo test slow catalogue bench install lint format types pictures clean

demo: $(VENV)/installed  ## run the lecture's experiments into out/tour/
	$(BIN)/jaxpercep tour

test: install lint types  ## lint, type-check, run the tests; COVERAGE=--cov counts lines
	$(BIN)/pytest -n $(WORKERS) $(COVERAGE)

slow: install  ## run the tests that take long, which `make test` leaves out
	$(BIN)/pytest -n $(WORKERS) $(COVERAGE) -m "slow and not corpus and not fuzz"

catalogue: install  ## compare every wrong backward pass of the corpus
	$(BIN)/pytest -n $(WORKERS) --dist=loadgroup -m corpus

bench: install  ## time every method beside its peers: under 20 minutes
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
