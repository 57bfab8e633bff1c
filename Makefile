# The environment lives in .venv; `make demo` and `make test` make it first.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin

.PHONY: demo test check types bench clean

demo: $(VENV)/installed
	$(BIN)/fullfield run lensing -o runs/demo $(if $(wildcard runs/demo),--resume) || { code=$$?; \
	  test $$code -ne 2 || echo "If runs/demo is of an earlier version or of other settings: rm -r runs/demo, and make demo again." >&2; \
	  exit $$code; }

test: $(VENV)/tested
	$(BIN)/python -m pytest -n 2 --dist loadfile

types: $(VENV)/checked
	$(BIN)/pyright src

check: $(VENV)/checked
	$(BIN)/ruff check src tests benchmarks
	$(BIN)/ruff format --check src tests benchmarks
	$(MAKE) test

bench: $(VENV)/installed
	$(BIN)/fullfield bench

$(VENV)/installed: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet -c constraints.txt -e .
	touch $@

$(VENV)/tested: $(VENV)/installed
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[test]'
	touch $@

$(VENV)/checked: $(VENV)/tested
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[dev]'
	touch $@

clean:
	rm -rf $(VENV)
