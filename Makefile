# `make` lists the targets. RUNTIME=tf1 or tf2 and GPU=1 or 0 go with those that compute
# (environments/make_env.sh says what they choose, and what they are where unset).

MAKE_ENV = RUNTIME='$(RUNTIME)' GPU='$(GPU)' sh environments/make_env.sh
# Emptied, because a PYTHONPATH of the caller would shadow the pinned packages.
PYTHON = PYTHONHOME= PYTHONPATH= $(shell $(MAKE_ENV) --folder)/bin/python

DEMO = runs/demo
# From random initialisation in minutes on 2 cores: small crops in large batches, a
# rate that falls to 0, batch-norm statistics that follow soon, and no jitter, as hue
# helps to tell the shapes apart.
DEMO_TRAIN_FLAGS = --init_from random --output_stride 16 --crop_size 113 --batch_size 16 \
	--max_steps 160 \
	--eval_every_steps 80 --starting_learning_rate 0.001 --learning_rate_policy poly \
	--batch_norm_decay 0.9 --l2_regularizer 0.00001 --min_scale 0.75 --max_scale 1.5 \
	--no_color_jitter

.PHONY: help env doctor lint test demo bench notebook clean

help:
	@echo 'make env       build .venv; RUNTIME=tf1 (TensorFlow 1.15, Python 3.7) or RUNTIME=tf2'
	@echo '               (TensorFlow 2.21, Python 3.11 to 3.13); GPU=1 for the build with CUDA'
	@echo 'make doctor    look at the machine, the environments, data sets and runs'
	@echo 'make lint      flake8'
	@echo 'make test      flake8, then pytest on tests/'
	@echo 'make demo      draw a small data set, train on it, evaluate; all under $(DEMO)'
	@echo 'make bench     time this project, ONNX Runtime and PyTorch in turn, within an hour'
	@echo 'make notebook  open Jupyter in notebooks/'
	@echo 'make clean     remove $(DEMO)'

env:
	@$(MAKE_ENV)

# Of the system, because it also says what is wrong with .venv.
doctor:
	@python3 runtime/doctor.py

lint: env
	$(PYTHON) -m flake8

# tests/ is named, because the test.py next to it is a script. The runs of test_train.py have a few
# steps each: a third of their time MKL would take to look up each node among all its kernels.
PYTEST = OMP_NUM_THREADS=1 $(PYTHON) -m pytest -n auto --dist worksteal --durations=10
test: lint
	$(PYTEST) --ignore tests/test_train.py tests
	TF_DISABLE_MKL=1 $(PYTEST) tests/test_train.py

demo: env
	test -f $(DEMO)/shapes/dataset.json || \
		$(PYTHON) dataset/build_shapes.py --output_dir $(DEMO)/shapes
	$(PYTHON) train.py --dataset_dir $(DEMO)/shapes --model_dir $(DEMO)/model \
		$(DEMO_TRAIN_FLAGS)
	$(PYTHON) test.py --checkpoint $(DEMO)/model --dataset_dir $(DEMO)/shapes \
		--split test --output_dir $(DEMO)/results

bench: env
	$(PYTHON) benchmarks/speed.py

# The kernel of the environment, whatever kernels the user has installed elsewhere.
notebook: env
	JUPYTER_PREFER_ENV_PATH=1 $(PYTHON) -m notebook --notebook-dir notebooks

clean:
	rm -rf $(DEMO)
