PYTHON ?= python3
PIP_FLAGS ?= -q
STAMP := .venv/.installed

.PHONY: help run lab world test lint clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-6s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: $(STAMP) ## every notebook in order on the embedded world; results in artifacts/tiny
	.venv/bin/python -m sellarec_lab run --preset tiny

lab: $(STAMP) ## open the notebooks in JupyterLab
	.venv/bin/jupyter lab notebooks/

world: $(STAMP) ## rebuild the embedded world in data/tiny from its seed
	.venv/bin/python -m sellarec_lab world

test: lint ## lint, then unit tests and all notebooks in fast mode
	.venv/bin/pytest --nbmake --nbmake-timeout=600 tests notebooks

lint: $(STAMP) ## ruff on code and notebooks, import-linter on the floors
	.venv/bin/ruff check .
	.venv/bin/lint-imports

clean: ## remove caches and build leftovers; .venv and artifacts stay
	rm -rf build dist .pytest_cache .ruff_cache .import_linter_cache *.egg-info
	find sellarec_lab tests -name __pycache__ -type d -prune -exec rm -rf {} +

$(STAMP): pyproject.toml constraints.txt
	@echo "Installing into .venv: a few minutes the first time (watch it with PIP_FLAGS= make ...)"
	test -x .venv/bin/python || $(PYTHON) -m venv .venv
	.venv/bin/python -m pip install $(PIP_FLAGS) -c constraints.txt -e '.[dev]'
	@touch $@ && echo "Installed."
