# make demo   a virtual environment, the package, and the main job on an embedded sample
# make test   the same environment with the test extras; lint, types, tests
# make docs   the documentation, every page executed, in docs/_build/html
#
# PYTHON chooses the interpreter, VENV the environment. An environment that no longer
# works (moved, half installed, another Python) is made again.
PYTHON ?= python3
VENV ?= .venv
RUN := $(VENV)/bin/python
SOURCES := pyproject.toml CMakeLists.txt $(wildcard src/labels2masks/kernels/csrc/*)

works = $(RUN) -c "import pathlib, sys, labels2masks as l2m; \
	sys.exit(pathlib.Path(l2m.__file__).resolve().parents[2] != pathlib.Path.cwd().resolve())" >/dev/null 2>&1

ifneq ($(shell $(works) && echo yes),yes)
$(shell rm -f $(VENV)/.demo-installed $(VENV)/.test-installed $(VENV)/.docs-installed)
endif

.PHONY: demo test docs lint types clean

demo: $(VENV)/.demo-installed
	$(RUN) -m labels2masks demo

test: lint types
	L2M_REQUIRE_KERNELS=1 $(if $(wildcard ../shared/data),L2M_REQUIRE_DATA=1) \
		$(if $(shell command -v chromium),L2M_REQUIRE_BROWSER=1) OMP_NUM_THREADS=1 \
		$(RUN) -m pytest --numprocesses=auto --dist=loadfile

lint: $(VENV)/.test-installed
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .

types: $(VENV)/.test-installed
	$(RUN) -m mypy

$(VENV)/.demo-installed: $(SOURCES)
	@$(works) || $(PYTHON) -m venv --clear $(VENV)
	$(RUN) -m pip install --editable '.[weights]'
	@touch $@

$(VENV)/.test-installed: $(SOURCES)
	@$(works) || $(PYTHON) -m venv --clear $(VENV)
	$(RUN) -m pip install --editable '.[test]'
	@touch $@ $(VENV)/.demo-installed

docs: $(VENV)/.docs-installed
	$(RUN) -m sphinx -W --keep-going docs docs/_build/html

$(VENV)/.docs-installed: $(SOURCES)
	@$(works) || $(PYTHON) -m venv --clear $(VENV)
	$(RUN) -m pip install --editable '.[docs]'
	@touch $@ $(VENV)/.demo-installed

clean:
	rm -rf $(VENV) build dist .mypy_cache .pytest_cache .ruff_cache
