# make                          draw sample faces, train on them, write the figures
# make DATA=path/to/fer2013.csv the same on real faces (data/fer2013.csv is found by itself)
# make report                   REPORT.md again, from the records of real faces
# make test                     what CI runs
PYTHON ?= python3
DATA ?=
RUN := .venv/bin/python
FACES = $(or $(FLAGS),$(if $(wildcard data/fer2013.csv),,--drawn))
FLAGS := $(if $(DATA),--data "$(patsubst ~/%,$(HOME)/%,$(DATA))")

.PHONY: all report test clean
.DELETE_ON_ERROR:

all: .venv/installed
	$(RUN) train_cnn.py $(FLAGS)
	$(RUN) train_dnn.py $(FLAGS)
	$(RUN) confusion_matrix.py $(FLAGS)
	$(RUN) saliency.py $(FLAGS)
	$(RUN) visualize_filters.py $(FLAGS) --steps 64
	$(RUN) semi_supervised.py --quick $(FLAGS)
	$(RUN) report.py $(FACES)

report: .venv/installed
	$(RUN) report.py $(FLAGS)

test: .venv/installed-dev
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
	$(RUN) -m pytest

.venv/installed: requirements.txt
	@$(PYTHON) -c "import sys; v = sys.version_info[:2]; sys.exit(None if (3, 11) <= v <= (3, 13) else 'Python 3.11 to 3.13 is needed, but $(PYTHON) is %d.%d; name another: make PYTHON=python3.12' % v)"
	$(PYTHON) -m venv .venv
	$(RUN) -m pip install --quiet -r requirements.txt
	touch $@

.venv/installed-dev: .venv/installed requirements-dev.txt
	$(RUN) -m pip install --quiet -r requirements-dev.txt
	touch $@

clean:
	rm -rf .venv models/sample figures/sample data/sample_faces.csv data/*.cache
