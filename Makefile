# make run    start talking: installs the default chain, fetches its weights, prints the URL
# make test   lint, types and every test, real engines and browser included
# make venv   only the set-up that `make test` needs
# make test-coda CODA=path   the tests inside Coda, against a checkout of the real one
#
# Everything is kept in .venv, .venv-coda and the user's cache directory; `make clean` removes the
# first two.

# A recipe that fails half-way leaves no stamp behind, so the next run does it again.
.DELETE_ON_ERROR:
.ONESHELL:
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
MAKEFLAGS += --no-print-directory

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet --constraint constraints.txt
VENV_CODA := .venv-coda
BIN_CODA := $(VENV_CODA)/bin
TEST_WEIGHTS := silero-vad smart-turn smollm2-135m
NEW_ENOUGH := import sys; sys.exit(sys.version_info < (3, 11))

# The first interpreter that is new enough; `make PYTHON=/path/to/python` decides it by hand.
PYTHON ?= $(shell for python in python3 python3.13 python3.12 python3.11; do \
	"$$python" -c '$(NEW_ENOUGH)' 2>/dev/null && { echo "$$python"; break; }; done)

# Options of `coda-voice serve`: make run ARGS="--set server.port=9000"
ARGS ?=
# Options of pytest: make test PYTEST_ARGS="-k captions"
PYTEST_ARGS ?=
# A checkout of Coda 2.0: make test-coda CODA=../Coda
CODA ?=

.PHONY: run venv test test-coda lint format types unit weights debian checkout clean help

help:
	@sed -n 's/^# \(make .*\)/\1/p' Makefile

run: $(VENV)/stamp-run
	@exec $(BIN)/coda-voice serve $(ARGS)

venv: $(VENV)/stamp-test

test: lint types weights debian tests/web/node_modules
	@$(BIN)/python -m pytest $(PYTEST_ARGS)

# Coda's files are not touched; what it writes goes into the tests' own folders. What it warns of
# is no fault of ours.
test-coda: checkout $(VENV_CODA)/stamp-coda debian
	@$(BIN_CODA)/coda-voice fetch $(TEST_WEIGHTS)
	export CODA_CHECKOUT="$(abspath $(CODA))" HF_HUB_OFFLINE=1 TOKENIZERS_PARALLELISM=false
	$(BIN_CODA)/python -m pytest -W default --disable-warnings tests/with_coda $(PYTEST_ARGS)

checkout:
	@if [[ -z "$(CODA)" ]]; then
		echo "Name a checkout of Coda: git clone https://github.com/Aladin147/Coda ../Coda, then make test-coda CODA=../Coda" >&2
		exit 1
	fi
	if [[ ! -f "$(CODA)/src/coda/core/assistant.py" ]]; then
		echo "$(CODA) is no checkout of Coda: src/coda/core/assistant.py is not there." >&2
		exit 1
	fi

lint: $(VENV)/stamp-test
	@$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(VENV)/stamp-test
	@$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

types: $(VENV)/stamp-test
	@$(BIN)/mypy
	$(BIN)/mypy tests benchmarks

# What needs neither weights nor a browser.
unit: $(VENV)/stamp-test
	@$(BIN)/python -m pytest -m "not real and not browser" $(PYTEST_ARGS)

weights: $(VENV)/stamp-test
	@$(BIN)/coda-voice fetch $(TEST_WEIGHTS)

# TypeScript's compiler, which checks the browser library. Its tests need no package.
tests/web/node_modules: tests/web/package-lock.json | debian
	@echo "installing the compiler that checks the browser library"
	npm ci --prefix tests/web --no-audit --no-fund --silent
	touch $@

# The browser, Node and the recorded speech of the tests, from Debian.
debian:
	@missing=()
	command -v chromium >/dev/null || missing+=(chromium)
	command -v node >/dev/null || missing+=(nodejs)
	command -v npm >/dev/null || missing+=(npm)
	test -d /usr/share/pocketsphinx/test/data/librivox || missing+=(pocketsphinx-testdata)
	if (( $${#missing[@]} == 0 )); then exit 0; fi
	if (( EUID == 0 )) && command -v apt-get >/dev/null; then
		echo "installing $${missing[*]}"
		apt-get update -qq
		DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$${missing[@]}" >/dev/null
	else
		echo "The tests need $${missing[*]}; run: sudo apt-get install $${missing[*]}" >&2
		exit 1
	fi

clean:
	@rm -rf $(VENV) $(VENV_CODA) tests/web/node_modules build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/stamp-python $(VENV_CODA)/stamp-python:
	@if [[ -z "$(PYTHON)" ]]; then
		echo "Python 3.11 or newer is needed and none was found; on Debian: sudo apt-get install python3 python3-venv." >&2
		echo "If it is installed elsewhere: make PYTHON=/path/to/python3" >&2
		exit 1
	fi
	if ! $(PYTHON) -c '$(NEW_ENOUGH)'; then
		echo "$(PYTHON) is not a Python 3.11 or newer." >&2
		exit 1
	fi
	if ! $(PYTHON) -c 'import ensurepip, venv' 2>/dev/null; then
		if (( EUID == 0 )) && command -v apt-get >/dev/null; then
			echo "installing python3-venv"
			apt-get update -qq
			DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends python3-venv >/dev/null
		else
			echo "$(PYTHON) lacks its venv module; on Debian: sudo apt-get install python3-venv." >&2
			exit 1
		fi
	fi
	$(PYTHON) -m venv --clear $(@D)
	touch $@

# The default chain and nothing else.
$(VENV)/stamp-run: $(VENV)/stamp-python pyproject.toml constraints.txt
	@echo "installing the speech engines into $(VENV) (about a minute)"
	$(PIP) --editable '.[cpu,kyutai]'
	touch $@

# Torch before moshi, and moshi without its dependencies: its pins ask for a build of torch
# with several GB of CUDA. It comes last, or pip would complain of them with each package.
# bitsandbytes computes its int8, on a CPU as well.
$(VENV)/stamp-test: $(VENV)/stamp-run
	@echo "installing what the tests need into $(VENV) (a few minutes)"
	$(PIP) torch
	$(PIP) --editable '.[cpu,kyutai,mic,dev]' einops huggingface-hub safetensors sentencepiece tqdm
	$(PIP) --no-deps moshi bitsandbytes
	touch $@

# Coda cannot be installed by pip and does not declare all that it needs, so this list is ours. Its
# libraries want newer ones than moshi allows, hence an environment of its own. Torch comes first,
# or they would bring one with CUDA; torchaudio's compiled parts fit only that one, and Coda does
# without them.
$(VENV_CODA)/stamp-coda: $(VENV_CODA)/stamp-python pyproject.toml tests/with_coda/requirements.txt
	@echo "installing what Coda and the tests inside it need into $(VENV_CODA) (a few minutes)"
	pip="$(BIN_CODA)/python -m pip --disable-pip-version-check install --quiet"
	$$pip "$$(grep '^torch==' tests/with_coda/requirements.txt)"
	$$pip --requirement tests/with_coda/requirements.txt
	$(BIN_CODA)/python -c 'import torchaudio' 2>/dev/null || rm -f $(VENV_CODA)/lib/python3*/site-packages/torchaudio/lib/*.so
	$$pip --editable '.[cpu,kyutai]'
	touch $@
