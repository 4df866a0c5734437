# The two commands of the README are `make run` and `make test`; both set up what they need.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
IMAGE ?= lockstep
# Where PyPI's torch is not the build that is wanted: the address of PyTorch's CPU index.
TORCH_INDEX ?=
# For every Python from 3.11 on, and every processor that has a wheel.
LOCK = $(BIN)/uv pip compile --quiet --universal --python-version 3.11 -c constraints.txt --generate-hashes \
  --no-emit-index-url --no-annotate --custom-compile-command 'make lock'

.DEFAULT_GOAL := help
.PHONY: help run test check style types layers workflows docs quick unit clients lock image image-test results \
	bench bench-quick bench-train clean

help: ## Show the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 22

run: $(VENV)/installed ## Set up, train on real digits, prove, serve on port 8080
	$(BIN)/lockstep train digits
	$(BIN)/lockstep serve --example

test: check unit ## Set up and run every check

check: style types layers workflows docs ## Formatting, lint, types, layers, workflow, documentation

style: $(VENV)/installed
	$(BIN)/ruff format --check --quiet .
	$(BIN)/ruff check --quiet .

# What the standard library declares differs by version: the oldest and the newest are checked.
types: $(VENV)/installed
	$(BIN)/mypy --python-version 3.11
	$(BIN)/mypy --python-version 3.13

layers: $(VENV)/installed
	$(BIN)/lint-imports --no-logo

workflows: $(VENV)/installed
	$(BIN)/check-jsonschema --quiet --builtin-schema vendor.github-workflows .github/workflows/*.yml

docs: $(VENV)/installed ## Build the documentation's site into site/; a broken link is an error
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

quick: $(VENV)/installed ## The tests that are not slow, in under a minute
	$(BIN)/python -m pytest -n 2 -q

unit: $(VENV)/installed ## All tests, the slow ones too, with branch coverage
	$(BIN)/python -m pytest -n 2 --cov --cov-report=term -m "not clients and not container"

clients: $(VENV)/installed ## Ask the service with curl and Java, where they are installed
	$(BIN)/python -m pytest tests/clients/test_first_request.py -m clients -q

lock: $(VENV)/installed ## Lock what the image is made of, with hashes, into requirements/
	$(LOCK) pyproject.toml -o requirements/serving.txt
	$(BIN)/python -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["build-system"]["requires"], sep="\n")' \
	  | $(LOCK) - -o requirements/build.txt

image: ## Build the container image
	docker build --network host -t $(IMAGE) .

image-test: $(VENV)/installed image ## Build the image and test the running container
	LOCKSTEP_IMAGE=$(IMAGE) $(BIN)/python -m pytest tests/container -m container -q

results: $(VENV)/installed ## How good networks are, with peers and an ablation, into docs/; regularisation, start-up
	$(BIN)/python benchmarks/regularisation.py
	$(BIN)/python -m benchmarks.startup
	$(BIN)/python -m benchmarks.results.run

bench: $(VENV)/installed ## Compare servers, PEERS=1 for more of them; table and chart into docs/
	$(BIN)/python -m benchmarks.serving.run $(if $(PEERS),--peers)

bench-quick: $(VENV)/installed ## The ratios that serving is held to, in under 2 minutes
	$(BIN)/python -m benchmarks.serving.run --quick

bench-train: $(VENV)/installed ## Compare training speed, PEERS=1 for skorch and Lightning; table into docs/
	$(BIN)/python -m benchmarks.training.run $(if $(PEERS),--peers)

$(VENV)/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX)) -c constraints.txt -e '.[train,dev]'
	@touch $@

clean: ## Remove the environment and what the checks leave
	rm -rf $(VENV) site .mypy_cache .pytest_cache .ruff_cache .hypothesis .coverage .import_linter_cache *.egg-info
