"""Both backends must learn the same: this file is also the program that each of them runs."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
from conftest import ROOT

from toolbox.semi_supervised.steps import ahead


def test_batches_made_ahead_are_those_of_their_updates():
    of = ahead(lambda update: (update, 2 * update), updates=9)
    asked = (0, 1, 2, 7, 8, 3)  # a run that resumes, and one that goes back
    assert [tuple(map(int, of(update))) for update in asked] == [(n, 2 * n) for n in asked]


def test_jax_learns_what_tensorflow_learns(tmp_path):
    found = []
    for engine in ("tensorflow", "jax"):
        path, paths = tmp_path / f"{engine}.npz", [str(ROOT), str(ROOT / "tests")]
        environment = os.environ | {"KERAS_BACKEND": engine, "PYTHONPATH": os.pathsep.join(paths)}
        subprocess.run([sys.executable, __file__, path], env=environment, check=True, timeout=300)
        found.append(np.load(path))
    assert len(found[0].files) == 2 + 7  # the network has seven variables
    for name in found[0].files:
        np.testing.assert_allclose(found[1][name], found[0][name], rtol=1e-3, atol=1e-4)


def learn(path: Path) -> None:
    """FixMatch, from weights that are the same on each engine."""
    from small_task import build_small_cnn, make_few_labels, make_setting

    from toolbox.semi_supervised.fixmatch import fixmatch
    from toolbox.training.schedules import one_cycle

    random = np.random.default_rng(0)

    def build():
        model = build_small_cnn()
        for weights in model.trainable_variables:
            weights.assign(random.normal(0, 0.1, weights.shape))
        return model, one_cycle(6, 0.05, 5e-4)

    setting = replace(make_setting(path.with_suffix(".state.npz")), build=build)
    learned = fixmatch(make_few_labels(), setting, build()[0], uratio=2, wu=3.0, temperature=0.5)
    losses = [row["loss"] for row in setting.loop.history]
    weights = {f"{i}": weights for i, weights in enumerate(learned.model.get_weights())}
    np.savez(path, losses=losses, pseudo_labels=learned.pseudo_labels, **weights)


if __name__ == "__main__":
    learn(Path(sys.argv[1]))
