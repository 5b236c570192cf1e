import numpy as np
import pytest
from conftest import make_faces
from small_task import assert_same_weights, build_small_cnn

from toolbox.engine import keras, tf
from toolbox.semi_supervised.loop import Loop
from toolbox.semi_supervised.simclr import nt_xent, rows_of, simclr
from toolbox.semi_supervised.student import Augmentation

IMAGES = make_faces(140)[0]


def test_the_loss_by_numpy():
    projections = np.random.default_rng(0).normal(size=(6, 4)).astype(np.float32)
    unit = projections / np.linalg.norm(projections, axis=1, keepdims=True)
    similar = np.exp(unit @ unit.T / 0.2)
    np.fill_diagonal(similar, 0)
    expected = -np.mean([np.log(similar[i, (i + 3) % 6] / similar[i].sum()) for i in range(6)])
    assert float(nt_xent(projections, 0.2)) == pytest.approx(expected, rel=1e-5)


def test_each_row_comes_once_in_an_epoch():
    epochs = [
        np.concatenate([rows_of(tf.constant(3 * epoch + i), 4, 12, 7) for i in range(3)])
        for epoch in range(2)
    ]
    for rows in epochs:
        assert sorted(rows) == [*range(12)]
    assert (epochs[0] != epochs[1]).any()


def pretrain(path, updates: int = 12, stop: int = 0) -> keras.Model:
    """stop: Ctrl-C after that update."""
    keras.utils.set_random_seed(0)
    model = build_small_cnn()
    encoder = keras.Model(model.inputs[0], model.get_layer("global_pooling").output)

    class Interrupted(Loop):
        def _save(self, variables):
            super()._save(variables)
            if stop and self.history and self.history[-1]["update"] == stop:
                raise KeyboardInterrupt

    loop = Interrupted(path, {}, updates)
    view = Augmentation(0.05, 5, 0.05, contrast=0.1)
    simclr(IMAGES, encoder, loop, 0, batch_size=32, temperature=0.2, view=view)
    model.losses_of_updates = [row["loss"] for row in loop.history]
    return model


def test_two_views_of_a_face_come_nearer(tmp_path):
    losses = pretrain(tmp_path / "state.npz", updates=60).losses_of_updates
    assert np.mean(losses[-5:]) < np.mean(losses[:5]) - 0.2


def test_an_interrupted_start_ends_as_it_would_have(tmp_path):
    whole = pretrain(tmp_path / "whole.npz")
    with pytest.raises(KeyboardInterrupt):
        pretrain(tmp_path / "state.npz", stop=5)
    assert_same_weights(pretrain(tmp_path / "state.npz"), whole)
