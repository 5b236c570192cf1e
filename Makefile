# make                            train and analyze: on data/fer2013.csv, or else on synthetic faces
# make DATA=path/to/fer2013.csv   the same on your CSV
# make test                       what CI runs
# make published                  REPORT.md again, from the records in published/ (maintainers)
# make clean                      remove .venv, synthetic faces and what was made from them
PYTHON ?= python3
DATA ?=
RUN := .venv/bin/python
# Handed on through the environment, so that no character of the path means anything to a shell.
export FACES_CSV := $(value DATA)
# A rehearsal on synthetic faces: fewer epochs, faces and layers show what there is to see.
SYNTHETIC := $(if $(or $(FACES_CSV),$(wildcard data/fer2013.csv)),,yes)
CNN := $(if $(SYNTHETIC),--epochs 6)
DNN := $(if $(SYNTHETIC),--epochs 6)
SALIENCY := $(if $(SYNTHETIC),--faces 70)
LAYERS := $(if $(SYNTHETIC),--layer conv_0 conv_3b)
FLAGS := $${FACES_CSV:+--data "$$FACES_CSV"}

.PHONY: all published test clean
.DELETE_ON_ERROR:

all: .venv/installed
	@echo "== 1/7 P1: train the small CNN"
	@$(RUN) train_cnn.py $(CNN) $(FLAGS)
	@echo "== 2/7 P2: train the DNN, compare it with the CNN"
	@$(RUN) train_dnn.py $(DNN) $(FLAGS)
	@echo "== 3/7 P3: the CNN's confusion matrix"
	@$(RUN) confusion_matrix.py --model fast $(FLAGS)
	@echo "== 4/7 P4: what the CNN looks at"
	@$(RUN) saliency.py --model fast $(SALIENCY) $(FLAGS)
	@echo "== 5/7 P5: what its filters look for"
	@$(RUN) visualize_filters.py --model fast $(LAYERS) $(FLAGS)
	@echo "== 6/7 Bonus: learn from few labels"
	@$(RUN) semi_supervised.py --quick $(FLAGS) || echo "The report goes on without this part."
	@echo "== 7/7 The report"
	@$(RUN) report.py $(FLAGS)

published: .venv/installed
	$(RUN) report.py --published

test: .venv/installed-dev
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
	$(RUN) -m pytest

.venv/installed: requirements.txt
	@$(PYTHON) -c "import sys; v = sys.version_info[:3]; sys.exit(None if (3, 11, 4) <= v < (3, 14) else 'Python 3.11.4 to 3.13 is needed, but $(PYTHON) is %d.%d.%d; name another: make PYTHON=python3.12' % v)"
	$(PYTHON) -m venv .venv
	$(RUN) -m pip install --quiet -r requirements.txt
	touch $@

.venv/installed-dev: .venv/installed requirements-dev.txt requirements-photos.txt
	$(RUN) -m pip install --quiet -r requirements-dev.txt
	touch $@

clean:
	rm -rf .venv models/sample figures/sample data/synthetic_faces.csv data/*.cache
