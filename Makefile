# The commands of the project. Each is safe to repeat; `make setup` installs what is missing.
VENV := .venv
BIN := $(VENV)/bin
export PATH := $(CURDIR)/$(BIN):$(PATH):/usr/sbin:/sbin

.PHONY: setup demo scenario check test test-all bench fix clean

setup:  ## install what is missing: Debian packages (asks first), Python packages, generated schemas
	@scripts/setup.sh

demo: setup  ## the main job on real input: an OVA from vSphere boots on virtio under kubectl
	@scripts/scenario.sh first-vm

scenario: setup  ## make scenario NAME=first-vm
	@scripts/scenario.sh $(NAME)

check:  ## before every commit: linters, types, import contracts, sizes, unit tests
	@scripts/check.sh

test: setup check  ## what CI runs
	@$(BIN)/pytest tests/kubectl tests/e2e -m "not long" --timeout 600

test-all: test  ## the long matrices and fault loops too
	@$(BIN)/pytest tests -m long --timeout 3600

bench: setup  ## benchmarks beside their peers; tables and JSON in build/bench
	@$(BIN)/python -m bench

fix:  ## mend what a program can mend
	@$(BIN)/ruff check --fix src tests bench scripts; $(BIN)/ruff format src tests bench scripts

clean:  ## remove what can be made again
	@rm -rf build .cache src/isthmus/kinds/generated .mypy_cache .ruff_cache .pytest_cache .hypothesis
