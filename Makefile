# `make run` serves the app, `make test` runs every check; each sets up what it needs, once.
PYTHON ?= python3
PORT ?= 8501
BIN := .venv/bin

.PHONY: run test slow lint browser benchmark clean

run: .venv/app.done
	VITVIZ_ALLOW_DOWNLOADS=$${VITVIZ_ALLOW_DOWNLOADS:-1} $(BIN)/streamlit run app.py --server.port $(PORT)

test: lint browser
	OMP_NUM_THREADS=1 $(BIN)/pytest -n 2 --dist loadfile

# What takes minutes: a real fine-tuning.
slow: .venv/dev.done
	$(BIN)/pytest -m slow

lint: .venv/dev.done
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/mypy

# The browser tests drive Debian's Chromium.
browser:
	@command -v chromium >/dev/null || .ci/install-chromium

benchmark: .venv/dev.done
	$(BIN)/python -m benchmarks.recording
	$(BIN)/python -m benchmarks.methods
	$(BIN)/python -m benchmarks.app
	$(BIN)/python -m benchmarks.hub

.venv/bin/python:
	@$(PYTHON) -m venv .venv || { echo "No virtual environment: apt-get install python3-venv"; exit 1; }

.venv/app.done: requirements.txt | .venv/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	@touch $@

.venv/dev.done: requirements.txt requirements-dev.txt | .venv/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	@touch $@ .venv/app.done

clean:
	rm -rf .venv
