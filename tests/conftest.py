"""Small faces that every test can make for itself."""

from pathlib import Path

import numpy as np
import pytest

import utils
from toolbox.dataset import fer2013_csv

ROOT = Path(__file__).resolve().parent.parent


def make_faces(count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """images, labels and usage: noise around a brightness that depends on the label."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count, dtype=np.uint8) % 7
    images = rng.integers(0, 120, (count, 48, 48)) + 20 * labels[:, None, None]
    usage = np.array([0, 0, 0, 0, 1, 2], np.uint8)[np.arange(count) // 7 % 6]
    return images.astype(np.uint8), labels, usage


@pytest.fixture
def faces_csv(tmp_path: Path) -> Path:
    """A CSV of 420 faces, 280 of them Training, in fer2013.csv's own dialect."""
    path = tmp_path / "faces.csv"
    fer2013_csv.write_csv(path, *make_faces(420))
    return path


@pytest.fixture(scope="session")
def trained(tmp_path_factory) -> Path:
    """A folder with faces.csv and models/compact.keras, a tiny net trained a little on it."""
    import train_cnn  # here, since TensorFlow takes seconds that many a test does not need

    folder = tmp_path_factory.mktemp("trained")
    fer2013_csv.write_csv(folder / "faces.csv", *make_faces(420))
    train_cnn.main(
        train_cnn.Args(
            data=folder / "faces.csv",
            width=4,
            batch_size=32,
            epochs=6,
            name="compact",
            models_dir=folder / "models",
            figures_dir=folder / "figures",
        )
    )
    return folder


def pytest_collection_modifyitems(items):
    if not utils.FER2013.exists():
        for item in items:
            if "real_data" in item.keywords:
                item.add_marker(pytest.mark.skip(reason="data/fer2013.csv is absent"))
