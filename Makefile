# Every target sets up what it needs: `make demo` or `make test` on a fresh machine is enough.
# Settings:  make test TORCH="torch==2.13.0 --index-url ..."   another build of PyTorch (see README.md)
#            make test PYTHON=python3.12 VENV=.venv-3.12       another Python (3.11 or newer)
#            make test PYTEST_WORKERS=1                        fewer processes than cores (0: in pytest's own)
#            make test PYTEST_ARGS="-k review --durations=10"  whatever else pytest takes
#            make bench BENCH_PEER=peer/bin/python BENCH_ARGS="--only nano images"   what is compared with what
#            make fuzz FUZZ_SECONDS=60 FUZZ_TARGETS="tiff"     seconds for each target; which ones
PYTHON ?= python3
VENV ?= .venv
TORCH ?= torch==2.13.0
PYTEST_WORKERS ?= logical
PYTEST_ARGS ?=
FUZZ_SECONDS ?= 300
FUZZ_TARGETS ?=
export TORCH

BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install -qq --disable-pip-version-check -c constraints.txt
PACKAGES := sam2_engine sam2_plugins napari_plugin labelstudio_backend
SYSTEM_PACKAGES := tests/e2e/install_system_packages.sh
# A worker needs up to 3 GB. Each brings an X server of its own (tests/napari/x_server.py).
PYTEST := python -m pytest -n $(PYTEST_WORKERS) --maxprocesses 8 --dist worksteal

.PHONY: help demo test test-all test-pyside6 e2e fuzz bench soak corpora lint format docs release constraints clean
help:
	@echo "make demo   objects tracked through frames, from one click each; prints where the results are"
	@echo "make test   the tests to run before every change: every promise, in minutes"
	@echo "make test-all       those and the slow ones: every model size, longer cases"
	@echo "make test-pyside6   napari's tests with PySide6 in place of PyQt6"
	@echo "make corpora        fetches the test files of other libraries, which test-all reads"
	@echo "make e2e    end-to-end tests, in real hosts"
	@echo "make fuzz   hostile files for every reader, an hour"
	@echo "make lint   ruff, mypy, import-linter, deptry        make bench  beside other programs: one table"
	@echo "make docs   the site with all pages: build/site/index.html"
	@echo "make release    the package built, checked, and tried in empty environments: dist/"
	@echo "make soak   everything in turns for SOAK_MINUTES (60): does memory, or anything, grow?"

$(VENV)/.python:
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	    apt-get update -qq && apt-get install -y -qq --no-install-recommends python3 python3-venv ca-certificates; fi
	@$(PYTHON) -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' || \
	    { echo "Python 3.11 or newer with its venv module is needed (on Debian: apt install python3-venv)." >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -qq --disable-pip-version-check --upgrade "pip>=25.1"
	@touch $@

# PyTorch first, so that nothing after it chooses another build.
$(VENV)/.base: $(VENV)/.python pyproject.toml constraints.txt
	@echo "Installing into $(VENV) (once; a few minutes)"
	$(PIP) $(TORCH)
	$(PIP) --editable .
	@touch $@

$(VENV)/.dev: $(VENV)/.base
	$(PIP) --editable ".[all]" --group dev
	@touch $@

$(VENV)/.system: $(VENV)/.python $(SYSTEM_PACKAGES)
	if command -v dpkg-query >/dev/null; then bash $(SYSTEM_PACKAGES); fi
	@touch $@

# Test files of the libraries that others read their images with, from their source distributions.
CORPORA := pillow==13.0.0 nibabel==5.4.2
.corpora/.fetched: Makefile | $(VENV)/.python
	@echo "Fetching $(CORPORA) into .corpora (once)"
	$(BIN)/python -m pip download -qq --disable-pip-version-check --no-deps --no-binary pillow,nibabel --dest .corpora $(CORPORA)
	cd .corpora && for archive in *.tar.gz; do tar -xzf "$$archive" && rm "$$archive"; done
	@touch $@

corpora: .corpora/.fetched

demo: $(VENV)/.base
	$(BIN)/sam2 demo --overwrite

test: $(VENV)/.dev $(VENV)/.system
	$(BIN)/$(PYTEST) --ignore tests/e2e -m "not slow and not large" $(PYTEST_ARGS)

# Without a network the files of other libraries are not read, and the tests say so.
test-all: $(VENV)/.dev $(VENV)/.system
	-@$(MAKE) --no-print-directory corpora
	$(BIN)/$(PYTEST) --ignore tests/e2e -m "not large" $(PYTEST_ARGS)

# In an environment of its own: with PyQt6 beside it, nobody would notice what needs one of the two.
test-pyside6:
	@$(MAKE) --no-print-directory VENV=.venv-pyside6 .venv-pyside6/.pyside6 .venv-pyside6/.system
	QT_API=pyside6 .venv-pyside6/bin/$(PYTEST) tests/napari $(PYTEST_ARGS)

# PySide6 6.12.0 loses a reference to True at every emitted signal, which ends Python 3.11 after some minutes.
$(VENV)/.pyside6: $(VENV)/.dev Makefile
	$(BIN)/python -m pip uninstall -qq -y PyQt6 PyQt6-Qt6 PyQt6-sip
	$(PIP) "PySide6-Essentials>=6.8,<6.12"
	@touch $@

e2e: $(VENV)/.dev $(VENV)/.system
	$(BIN)/python -m pytest tests/e2e $(PYTEST_ARGS)

fuzz: $(VENV)/.dev
	$(BIN)/python tests/fuzz/fuzzing.py --seconds $(FUZZ_SECONDS) $(FUZZ_TARGETS)

# Does anything grow in so many minutes? The report is benchmarks/results/soak.md.
SOAK_MINUTES ?= 60
soak: $(VENV)/.dev
	OMP_NUM_THREADS=1 nice -n 19 $(BIN)/python benchmarks/soak.py --minutes $(SOAK_MINUTES)

# One table. Without BENCH_PEER, a Python that has the official package, it says how to make one.
BENCH_PEER ?=
BENCH_ARGS ?=
bench: $(VENV)/.dev
	$(BIN)/python benchmarks/side_by_side.py $(if $(BENCH_PEER),--peer-python $(BENCH_PEER)) $(BENCH_ARGS)

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/deptry $(PACKAGES)

# What is built is static, and needs no server: build/site/index.html.
docs: $(VENV)/.dev
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet

# What the release's page says it needs: builds of PyTorch and other interpreters.
LOWEST_TORCH ?= $(TORCH)
PYTHONS ?=
release: $(VENV)/.dev
	$(BIN)/python release/rehearse.py --torch "$(TORCH)" --lowest-torch "$(LOWEST_TORCH)" $(addprefix --python ,$(PYTHONS))

format: $(VENV)/.dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# Pins what is installed now; PyTorch is pinned by TORCH above, because its builds differ between machines.
constraints: $(VENV)/.dev
	{ head -n 2 constraints.txt; $(BIN)/python -m pip freeze --exclude-editable | grep -v -e '^torch==' -e '^-e' -e '^#'; } > constraints.new
	mv constraints.new constraints.txt

clean:
	rm -rf $(VENV) .venv-* .corpora build dist
