"""Synthetic faces, for everyone who has no FER2013 yet.

They are drawn by action units of the Facial Action Coding System (Ekman & Friesen, FACS, 1978), in
the combinations that its companion EMFACS (1983) reads as emotions: a smile is a raised cheek (6)
and a pulled lip corner (12). Person, pose, light, occlusion and wrong labels vary, so that there is
something to learn; Disgust is close to Angry and Fear to Surprise, as on photographs.
"""

from types import SimpleNamespace

import numpy as np

from toolbox.dataset.face_drawing import LANDMARKS, VARIATION, draw
from toolbox.dataset.faces import CLASSES, SIDE
from toolbox.late import Figure

TRAINING_ROWS = (3995, 436, 4097, 7215, 4830, 3171, 4965)  # FER2013's, class by class
EXPRESSIONS = (  # EMFACS' units of each class
    (4, 5, 7, 23),  # Angry
    (9, 15, 16),  # Disgust
    (1, 2, 4, 5, 20, 26),  # Fear
    (6, 12),  # Happy
    (1, 4, 15),  # Sad
    (1, 2, 5, 26),  # Surprise
    (),  # Neutral
)
LABEL_NOISE = 0.08  # Share of faces that show another class than their label says,
CONFUSED_WITH = (1, 0, 5, 6, 6, 2, 4)  # half of the time the one it is mistaken for.
UNIT_DROPPED = 0.15  # Chance that a face leaves out one of its units.

# fmt: off
# What each unit, at full strength, adds to the landmarks.
ACTION_UNITS = {
    1: {"brow_inner_y": -0.21, "brow_middle_y": -0.06, "fold_forehead": 0.13},
    2: {"brow_outer_y": -0.09, "brow_middle_y": -0.13, "fold_forehead": 0.13},
    4: {"brow_inner_y": 0.09, "brow_middle_y": 0.1, "brow_inner_x": -0.03, "fold_brow": 0.35},
    5: {"lid_upper": 0.06},
    6: {"lid_lower": -0.035, "lid_upper": -0.01, "cheek": 0.5, "fold_eye": 0.27},
    7: {"lid_lower": -0.03, "lid_upper": -0.025, "fold_eye": 0.1},
    9: {"fold_nose": 0.45, "fold_cheek": 0.3, "nose_y": -0.06, "lip_upper_y": -0.05,
        "brow_inner_y": 0.06, "brow_middle_y": 0.05, "lid_lower": -0.025, "lid_upper": -0.02},
    12: {"mouth_x": 0.12, "mouth_y": -0.13, "lip_upper_y": -0.03, "lip_lower_y": 0.09,
         "lip_upper_size": -0.02, "lip_lower_size": -0.01, "cheek": 0.4, "fold_cheek": 0.4},
    15: {"mouth_x": -0.02, "mouth_y": 0.1, "lip_lower_y": -0.01, "fold_corner": 0.36},
    16: {"lip_lower_y": 0.08, "lip_lower_size": -0.02, "mouth_square": 0.5},
    20: {"mouth_x": 0.13, "mouth_y": 0.02, "lip_upper_size": -0.02, "lip_lower_size": -0.03,
         "lip_lower_y": 0.02, "mouth_square": 1.0},
    23: {"mouth_x": -0.05, "lip_upper_size": -0.045, "lip_lower_size": -0.055},
    26: {"mouth_x": -0.07, "lip_upper_y": -0.03, "lip_lower_y": 0.27, "jaw_y": 0.15},
}
# fmt: on
UNITS = tuple(ACTION_UNITS)


def choose_expressions(rng, count):
    """Labels (count,), in FER2013's proportions, and the strengths (count, units) shown, 0..1."""
    share = np.cumsum(TRAINING_ROWS) / sum(TRAINING_ROWS)
    labels = rng.permutation(np.searchsorted(share, (np.arange(count) + 0.5) / count))
    other = (labels + rng.integers(1, 7, count)) % 7
    other = np.where(rng.random(count) < 0.5, np.take(CONFUSED_WITH, labels), other)
    shown = np.where(rng.random(count) < LABEL_NOISE, other, labels)
    present = np.array([[unit in units for unit in UNITS] for units in EXPRESSIONS])[shown]
    present &= rng.random(present.shape) >= UNIT_DROPPED
    strengths = rng.uniform(0.5, 1, (count, 1)) * rng.uniform(0.8, 1.2, present.shape)
    return labels, np.clip(strengths, 0, 1) * present


def place_landmarks(rng, strengths):
    """Landmarks by name, each (2, faces), left and right: nobody is quite symmetrical."""
    lopsided = strengths * rng.normal(1, 0.1, (2, len(strengths), 1))
    landmarks = {}
    for name, (rest, spread) in LANDMARKS.items():
        person = rng.normal(rest, spread, len(strengths))
        side = rng.normal(0, 0.15 * spread, (2, len(strengths)))
        effect = [ACTION_UNITS[unit].get(name, 0) for unit in UNITS]
        landmarks[name] = person + side + lopsided @ effect
    return landmarks


def draw_people(rng, strengths):
    """Images (faces, 48, 48) of 0..255 of random people who show these units."""
    count = len(strengths)
    values = place_landmarks(rng, strengths)
    values |= {name: rng.uniform(low, high, count) for name, (low, high) in VARIATION.items()}
    images = np.empty((count, SIDE, SIDE), np.uint8)
    for start in range(0, count, 16):  # so few that their arrays stay in the processor's cache
        part = np.s_[..., start : start + 16, None, None]
        face = SimpleNamespace(**{name: value[part].astype("f4") for name, value in values.items()})
        images[start : start + 16] = np.rint(np.clip(draw(face, rng), 0, 1) * 255)
    return images


def spell(units):
    return "+".join(map(str, units)) or "0"  # FACS' own number for a neutral face


def draw_faces(count: int = 4000, seed: int = 0) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Images, uint8 (count, 48, 48); labels (count,); and each face's units, as in "6+12".

    The units are those that the face shows; LABEL_NOISE of the labels are of another class.
    """
    rng = np.random.default_rng(seed)
    labels, strengths = choose_expressions(rng, count)
    units = [spell(np.array(UNITS)[row > 0]) for row in strengths]
    return draw_people(rng, strengths), labels, units


def draw_sample(
    count: int = 4000, seed: int = 0
) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[str]]:
    """The columns of data/synthetic_faces.csv: images, labels, usage and units.

    They are those of `draw_faces`. Of each class 8 faces of 10 are Training, one is PublicTest and
    one PrivateTest: usage (count,) holds positions in USAGES.
    """
    images, labels, units = draw_faces(count, seed)
    usage = np.empty(count, int)
    usage[np.argsort(labels, kind="stable")] = np.resize([0] * 8 + [1, 2], count)
    return images, labels, usage, units


def plot_contact_sheet(images, labels, units, columns: int = 12) -> Figure:
    """One row per class with its first faces, named after the class and its action units.

    images (n, 48, 48), labels (n,), units as in "6+12". Shown is what each class looks like: no
    wrong label, no unit missing.
    """
    typical = np.array([spell(EXPRESSIONS[label]) for label in labels]) == np.array(units)
    tile = SIDE + 2
    sheet = np.full((len(EXPRESSIONS) * tile, columns * tile), 255, np.uint8)
    for row in range(len(EXPRESSIONS)):
        for column, image in enumerate(images[typical & (labels == row)][:columns]):
            sheet[row * tile :, column * tile :][:SIDE, :SIDE] = image
    figure = Figure(figsize=(columns + 1.5, len(EXPRESSIONS) + 0.6), layout="constrained")
    axes = figure.add_subplot()
    axes.imshow(sheet, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
    rows = zip(CLASSES, EXPRESSIONS, strict=True)
    names = [f"{name}\nAU {spell(expression)}" for name, expression in rows]
    axes.set_yticks(np.arange(len(names)) * tile + SIDE / 2, names, fontsize=12)
    axes.set_xticks([])
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.set_title("SYNTHETIC FACES, NOT PHOTOGRAPHS", fontsize=20, fontweight="bold")
    return figure
