PYTHON ?= python3
PIP_FLAGS ?= -q
PRESET ?= fast
STAMP := .venv/.installed
AS_ROOT := $(if $(filter 0,$(shell id -u)),--allow-root) # in a container one often is, and Jupyter wants to hear it

.PHONY: help run lab world real test course bench soak browser pictures slides chromium colab lint clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: $(STAMP) ## every notebook in order on the embedded world; results in artifacts/tiny
	.venv/bin/python -m sellarec_lab run --preset tiny

lab: $(STAMP) ## open the notebooks in JupyterLab
	.venv/bin/jupyter lab $(AS_ROOT) notebooks/

world: $(STAMP) ## rebuild the embedded world in data/tiny from its seed
	.venv/bin/python -m sellarec_lab world

real: $(STAMP) ## a real language model: fetches SmolLM2, trains SeLLa-Rec with it on MovieLens-1M, prints the table (two hours)
	.venv/bin/python -m sellarec_lab weights smollm2
	.venv/bin/python -m sellarec_lab compare --preset smollm2 --models means,mf,tallrec,sella --against means \
		--workers 1

test: lint ## lint, then unit tests and all notebooks, exercises open and solved, in fast mode, two files at a time
	.venv/bin/python docs/course.py --tested
	OMP_NUM_THREADS=1 .venv/bin/pytest -n 2 --dist loadfile --nbmake --nbmake-timeout=600 --ignore=tests/colab tests \
		artifacts/course/tested

course: $(STAMP) ## the course in artifacts/course: slides, student and solution notebooks, checked
	.venv/bin/python docs/course.py
	.venv/bin/pytest -q tests/test_course.py

bench: $(STAMP) ## speed, in turns: rows and beams beside transformers' own ways, links beside PyKEEN (SELLAREC_DATA); growth
	.venv/bin/python docs/rows.py
	.venv/bin/python docs/decoding.py
	.venv/bin/python docs/links.py
	.venv/bin/python docs/scale.py

soak: $(STAMP) ## a hundred runs killed at random moments and started again: are the tables the same? (an hour)
	.venv/bin/python docs/soak.py

browser: chromium ## notebooks in JupyterLab, clicked in Chromium; screenshots in artifacts/browser (PRESET=tiny: finer ones)
	.venv/bin/pytest tests/browser --preset $(PRESET)

pictures: PRESET = tiny
pictures: chromium ## notebooks 00 and 05 run and kept with their outputs, figures as PNG; PRESET=smollm2: its map alone
	.venv/bin/python docs/pictures.py --preset $(PRESET)

slides: PRESET = tiny
slides: $(STAMP) ## every notebook as a slide deck in artifacts/tiny/slides; with its results where make run left them
	.venv/bin/python docs/slides.py --preset $(PRESET)

chromium: $(STAMP)
	@command -v chromium || command -v chromium-browser || command -v google-chrome || command -v google-chrome-stable \
		|| { echo "No Chromium was found. Install it, for example: apt-get install chromium"; exit 1; }
	@.venv/bin/python -c "import playwright" 2>/dev/null \
		|| .venv/bin/python -m pip install $(PIP_FLAGS) -c constraints.txt -e '.[browser]'

colab: $(STAMP) ## three notebooks in a new environment like Colab's: ipywidgets 7.7; torch, numpy and pandas are left alone
	.venv/bin/pytest tests/colab

lint: $(STAMP) ## ruff on code and notebooks, import-linter on the floors
	.venv/bin/ruff check .
	.venv/bin/ruff format --check -q .
	.venv/bin/lint-imports

clean: ## remove caches and build leftovers; .venv and artifacts stay
	rm -rf build dist .pytest_cache .ruff_cache .import_linter_cache *.egg-info
	find sellarec_lab tests -name __pycache__ -type d -prune -exec rm -rf {} +

$(STAMP): pyproject.toml constraints.txt
	@echo "Installing into .venv: a few minutes the first time (watch it with PIP_FLAGS= make ...)"
	test -x .venv/bin/python || $(PYTHON) -m venv .venv
	.venv/bin/python -m pip install $(PIP_FLAGS) -c constraints.txt -e '.[dev]'
	@touch $@ && echo "Installed."
