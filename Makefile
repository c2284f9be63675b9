# The commands of the project. Each is safe to repeat; `make setup` installs what is missing.
BIN := .venv/bin
export PATH := $(CURDIR)/$(BIN):$(PATH):/usr/sbin:/sbin

.PHONY: help setup demo scenario check test test-all bench fix clean

help:  ## this list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 12

setup:  ## install what is missing: Debian packages (asks first), Python packages, generated schemas
	@scripts/setup.sh

demo: setup  ## the story first-vm: an OVA from vSphere boots on virtio, under kubectl
	@scripts/scenario.sh first-vm

scenario: setup  ## make scenario NAME=first-vm
	@scripts/scenario.sh $(NAME)

check:  ## before every commit, under 90 s: linters, types, import contracts, sizes, unit tests
	@scripts/check.sh

test: setup check  ## what CI runs, under 25 minutes: check, real clients, real VMs
	@$(BIN)/pytest tests/kubectl tests/e2e -m "not long" --timeout 600

test-all: test  ## the long matrices, the fault loops and the stories too
	@$(BIN)/pytest tests -m long --timeout 3600
	@for story in scenarios/*/; do scripts/scenario.sh $$(basename $$story) || exit; done

bench: setup  ## benchmarks beside their peers; tables and JSON in build/bench
	@$(BIN)/python -m bench

fix:  ## mend what a program can mend
	@$(BIN)/ruff check -q --fix src tests bench scripts hatch_build.py; $(BIN)/ruff format src tests bench scripts hatch_build.py

clean:  ## remove what can be made again
	@rm -rf build dist .cache .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache src/isthmus/kinds/generated
