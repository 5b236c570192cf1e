"""One drawing of a face from its landmarks, and all that differs between pictures.

Everything is (faces, 48, 48) or broadcasts to it; greys and coverages run from 0 to 1.
"""

import numpy as np

from toolbox.dataset.faces import SIDE

PIXEL = 2 / SIDE  # All lengths are in half pictures: x from -1 to 1, y from -1 (top) to 1.
# fmt: off
# Where a face at rest has what, and one sigma of the difference between people. x counts outwards
# from the middle of the face, so a number serves both sides. Folds and cheeks are depths, 0 to 1.
LANDMARKS = {
    "brow_inner_x": (0.15, 0.015), "brow_inner_y": (-0.44, 0.02), "brow_middle_y": (-0.48, 0.02),
    "brow_outer_x": (0.61, 0.025), "brow_outer_y": (-0.43, 0.025),
    "eye_x": (0.37, 0.02), "eye_width": (0.19, 0.012),
    "lid_upper": (0.09, 0.01), "lid_lower": (0.06, 0.006),  # distance from the eye's middle line
    "nose_x": (0.14, 0.015), "nose_y": (0.2, 0.02),  # where the nostrils' wings end
    "mouth_x": (0.31, 0.02), "mouth_y": (0.508, 0.012),  # the corners
    "lip_upper_y": (0.515, 0.008), "lip_lower_y": (0.522, 0.008),  # the lips' inner edges
    "lip_upper_size": (0.07, 0.012), "lip_lower_size": (0.095, 0.014),
    "mouth_square": (0.0, 0.0), "jaw_y": (0.97, 0.03), "cheek": (0.3, 0.1),
    "fold_cheek": (0.06, 0.03), "fold_brow": (0.0, 0.02), "fold_forehead": (0.0, 0.02),
    "fold_nose": (0.0, 0.02), "fold_eye": (0.12, 0.03), "fold_corner": (0.0, 0.02),
}
# What else differs between pictures, evenly between these two. Of what not every face has, 0 and
# less is none: one face in four wears glasses.
VARIATION = {
    "shift_x": (-0.08, 0.08), "shift_y": (-0.11, 0.04), "scale": (1.02, 1.2),
    "roll": (-0.16, 0.16), "yaw": (-0.4, 0.4), "pitch": (-0.15, 0.15),  # radians
    "head_width": (0.74, 0.86), "jaw_width": (0.66, 0.9), "nose_width": (0.08, 0.14),
    "brow_size": (0.025, 0.055), "iris": (0.05, 0.4), "gaze": (-0.05, 0.05), "skin": (0.4, 0.8),
    "hair": (0.04, 0.6), "hairline": (-0.95, -0.68), "hair_curve": (0.1, 0.6),
    "parting": (-0.4, 0.4), "hair_length": (-0.5, 1.5), "hairy": (-1.0, 8.0),
    "beard": (-2.0, 0.8), "glasses": (-3.0, 1.0), "clothes": (0.05, 0.9),
    "background": (0.05, 0.95), "background_slope": (-0.3, 0.3),
    "light_x": (-0.7, 0.7), "light_y": (-0.7, 0.1), "ambient": (0.25, 0.65),
    "hand": (-9.0, 1.0), "bar": (-14.0, 1.0), "cover_x": (-0.8, 0.6), "cover_tilt": (-0.5, 0.5),
    "exposure": (0.9, 1.2), "contrast": (0.75, 1.25), "blur": (0.0, 0.8), "noise": (0.0, 0.3),
}
# fmt: on


def inside(distance, softness=1.5 * PIXEL):
    """How much of a pixel a shape covers, from the distance to its edge (negative inside)."""
    t = np.clip(0.5 - distance / softness, 0, 1)
    return t * t * (3 - 2 * t)


def between(v, upper, lower, ends):
    """Coverage of the almond between two curves that meet where `ends` turns positive."""
    return inside(np.maximum(np.maximum(upper - v, v - lower), ends))


def bump(u, v, x, y, width, height):
    return np.exp(-(((u - x) / width) ** 2) - ((v - y) / height) ** 2)


def arc(u, v, x0, y0, x1, y1, bend):
    """Distance to an arc, and how far along it, 0..1. Rightward arcs bow upwards if bend > 0."""
    dx, dy = x1 - x0, y1 - y0
    length = np.sqrt(dx * dx + dy * dy)
    along = ((u - x0) * dx + (v - y0) * dy) / length**2
    t = np.clip(along, 0, 1)
    across = ((u - x0) * dy - (v - y0) * dx) / length - 4 * bend * t * (1 - t)
    return np.hypot((along - t) * length, across), t


def paint(canvas, grey, coverage):
    canvas += (grey - canvas) * coverage


def turn_head(face):
    """Lay coordinates over the faces, and the landmarks of either side over its half.

    x, y are upright in the picture's plane; u, v lie on the head, a ball that yaw and pitch turn;
    out = |u|. The nose stands out from the ball and so moves further: nose_out.
    """
    grid = np.linspace(PIXEL / 2 - 1, 1 - PIXEL / 2, SIDE, dtype=np.float32)
    right, down = grid[None, None, :] - face.shift_x, grid[None, :, None] - face.shift_y
    face.x = (right * np.cos(face.roll) + down * np.sin(face.roll)) / face.scale
    face.y = (down * np.cos(face.roll) - right * np.sin(face.roll)) / face.scale
    depth = np.sqrt(np.clip(1 - (face.x / 0.95) ** 2 - (face.y / 1.25) ** 2, 0, 1))
    face.u = face.x - 0.6 * np.sin(face.yaw) * depth
    face.v = face.y - 0.6 * np.sin(face.pitch) * depth
    face.out = np.abs(face.u)
    face.nose_out = np.abs(face.u - 0.2 * np.sin(face.yaw))
    rightness = np.clip(0.5 + face.u / 0.4, 0, 1)
    for name in LANDMARKS:
        left, right = getattr(face, name)
        setattr(face, name, left + (right - left) * rightness)
    width = face.head_width * (1 - (1 - face.jaw_width) * np.clip(face.y / 1.1 + 0.15, 0, 1) ** 2)
    height = (2 * face.y + 1.15 - face.jaw_y) / (1.15 + face.jaw_y)
    face.radius = np.hypot(face.x / width, height)  # 1 at the outline of the head


def shade(face):
    """How bright the light leaves each place of the head: Lambert's law on a relief of hills."""
    out, v, nose = face.out, face.v, face.nose_out
    hills = (  # coordinate, x, y, half width, half height, rise
        (out, 0, 0.45, 0.36, 0.28, 0.08),  # the muzzle
        (out, 0, face.jaw_y - 0.13, 0.2, 0.1, 0.08),  # chin
        (out, 0, face.lip_lower_y + 0.14, 0.2, 0.05, -0.04),  # hollow above it
        (out, 0.46, 0.1, 0.2, 0.15, 0.14 * face.cheek),
        (out, face.eye_x - 0.05, -0.25, 0.22, 0.12, -0.09),  # eye socket
        (out, 0.35, face.brow_middle_y, 0.3, 0.08, 0.03),
        (nose, 0, -0.1, 0.08, 0.2, 0.07),  # bridge, tip and wing of the nose
        (nose, 0, 0.12, face.nose_width, 0.1, 0.17),
        (nose, face.nose_x - 0.03, face.nose_y - 0.03, 0.06, 0.06, 0.05),
    )
    relief = 0.6 * np.sqrt(np.clip(1.05 - face.radius**2, 0.02, 1))
    for u, x, y, width, height, rise in hills:
        relief += rise * bump(u, v, x, y, width, height)
    slope_y, slope_x = (slope / PIXEL for slope in np.gradient(relief, axis=(1, 2)))
    facing = 0.8 - face.light_x * slope_x - face.light_y * slope_y
    facing /= np.sqrt((1 + slope_x**2 + slope_y**2) * (face.light_x**2 + face.light_y**2 + 0.8**2))
    return face.ambient + (1.15 - face.ambient) * np.clip(facing, 0, 1)


def draw_background(face, canvas):
    canvas[:] = face.background + face.background_slope * face.x
    above = np.minimum(face.y + 0.1, 0) / 1.2
    hair = np.hypot(face.x / (face.head_width + 0.17), above) - 1
    hair = inside(np.maximum(hair, face.y - face.hair_length), 0.1) * (face.hairy > 0)
    paint(canvas, face.hair * (0.8 + 0.15 * face.strands), hair)
    paint(canvas, face.clothes, inside(1.05 + 0.3 * face.x**2 - face.y, 0.08))
    paint(canvas, 0.6 * face.skin, inside(np.maximum(np.abs(face.x) - 0.45, 0.5 - face.y)))
    ear = np.hypot((np.abs(face.x) - 0.98 * face.head_width) / 0.1, (face.y + 0.12) / 0.2)
    paint(canvas, face.skin * (0.5 + 0.3 * ear), inside(0.1 * ear - 0.1))


def draw_skin(face, canvas):
    """Skin, beard, nostrils, and the folds that the units press into the skin."""
    out, v, nose, nose_x, nose_y = face.out, face.v, face.nose_out, face.nose_x, face.nose_y
    mouth_x, mouth_y, brow_y = face.mouth_x, face.mouth_y, face.brow_inner_y
    eye_in, eye_out = face.eye_x - face.eye_width, face.eye_x + face.eye_width
    brow_x, eye_y = face.brow_inner_x - 0.08, face.lid_lower - 0.26
    # fmt: off
    folds = (  # depth, coordinate, from x, y, to x, y, bend, half width
        (0.3, nose, nose_x, nose_y - 0.07, nose_x - 0.02, nose_y + 0.02, 0.02, 0.03),
        (face.fold_cheek, out, nose_x, nose_y - 0.05, mouth_x + 0.07, mouth_y - 0.05, 0.05, 0.04),
        (face.fold_corner, out, mouth_x, mouth_y, mouth_x + 0.08, mouth_y + 0.13, 0.02, 0.03),
        (face.fold_brow, out, brow_x, brow_y - 0.05, brow_x, brow_y + 0.08, 0.0, 0.03),
        (face.fold_eye, out, eye_in, eye_y, eye_out, eye_y, -0.07, 0.03),
        (face.fold_eye, out, eye_out + 0.04, -0.24, eye_out + 0.16, -0.2, 0.0, 0.02),
        (face.fold_eye, out, eye_out + 0.04, -0.24, eye_out + 0.16, -0.29, 0.0, 0.02),
        (face.fold_forehead, out, 0.0, -0.62, 0.4, -0.59, 0.02, 0.02),
        (face.fold_forehead, out, 0.0, -0.72, 0.4, -0.69, 0.02, 0.02),
        (face.fold_nose, nose, 0.0, -0.25, 0.11, -0.3, 0.0, 0.025),
        (face.fold_nose, nose, 0.0, -0.15, 0.11, -0.2, 0.0, 0.025),
    )
    # fmt: on
    canvas[:] = face.skin * (1 + 0.02 * face.texture)
    for depth, u, *ends_and_bend, width in folds:
        canvas *= 1 - depth * np.exp(-((arc(u, v, *ends_and_bend)[0] / width) ** 2))
    canvas *= 1 - 0.7 * bump(nose, v, 0.5 * nose_x, nose_y + 0.03, 0.045, 0.022)
    shaved = 0.34 + 0.25 * np.exp(-(((out - 0.42) / 0.16) ** 2)) - np.maximum(out - 0.5, 0)
    beard = inside(shaved - v, 0.12) * np.clip(1.4 * face.beard, 0, 0.8)
    paint(canvas, face.hair * (1 + 0.15 * face.texture), beard)


def draw_mouth(face, canvas):
    v, t = face.v, face.out / face.mouth_x
    ends, square = face.out - face.mouth_x, np.clip(face.mouth_square, 0, 1)
    arch = np.clip(1 - t**2 * (1 - square + square * t**2), 0, 1)  # 1 in the middle, 0 at corners
    upper = face.mouth_y + (face.lip_upper_y - face.mouth_y) * arch
    lower = np.maximum(face.mouth_y + (face.lip_lower_y - face.mouth_y) * arch, upper)
    bow = np.sqrt(arch) * (1 - 0.25 * np.exp(-((t / 0.18) ** 2)))
    top = upper - np.maximum(face.lip_upper_size, 0.012) * bow
    bottom = lower + np.maximum(face.lip_lower_size, 0.015) * np.sqrt(arch)
    lip = face.skin * np.where(v < (upper + lower) / 2, 0.62, 0.76)
    paint(canvas, lip, 0.9 * between(v, top, bottom, ends))
    paint(canvas, 0.3 * lip, 0.6 * between(v, upper - 0.012, lower + 0.012, ends))
    hole = between(v, upper, lower, ends) * np.clip((lower - upper) / 0.05, 0, 1)
    paint(canvas, 0.05, hole)
    teeth = inside(v - upper - 0.08) + square * inside(lower - 0.05 - v)
    paint(canvas, 0.85, hole * np.clip(teeth, 0, 1) * np.clip(1.1 - t**2, 0, 1))
    paint(canvas, 0.4, 0.7 * hole * bump(t, v, 0, lower, 0.5, 0.09))  # tongue


def draw_eyes(face, canvas):
    v, t = face.v, (face.out - face.eye_x) / face.eye_width
    arch, ends, level = np.clip(1 - t**2, 0, 1), (np.abs(t) - 1) * face.eye_width, -0.25 - 0.015 * t
    upper = level - np.maximum(face.lid_upper, 0.02) * np.sqrt(arch) * (0.6 + 0.4 * arch)
    lower = level + np.maximum(face.lid_lower, 0.01) * arch
    eye = between(v, upper, lower, ends)
    paint(canvas, 0.7 + 0.15 * arch, eye)
    across = (face.out - face.eye_x) * np.sign(face.u) - face.gaze
    distance = np.hypot(across, v + 0.265)
    paint(canvas, face.iris, eye * inside(distance - 0.085))
    paint(canvas, 0.03, eye * inside(distance - 0.04))
    paint(canvas, 1.0, eye * bump(across, v, -0.03, -0.3, 0.025, 0.025))  # glint
    rims = (upper, 0.018, 0.75), (upper - 0.06, 0.01, 0.25), (lower, 0.01, 0.3)  # lashes, crease
    for line, width, strength in rims:
        canvas *= 1 - strength * between(v, line - width, line + width, ends)


def draw_hair_and_glasses(face, canvas):
    out, v, inner, outer = face.out, face.v, face.brow_inner_y, face.brow_outer_y
    arch = (inner + outer) / 2 - face.brow_middle_y
    distance, along = arc(out, v, face.brow_inner_x, inner, face.brow_outer_x, outer, arch)
    paint(canvas, 0.6 * face.hair, 0.9 * inside(distance - face.brow_size * (1.1 - 0.6 * along)))
    line = face.hairline + face.hair_curve * (face.u - face.parting) ** 2
    paint(canvas, face.hair * (1 + 0.15 * face.strands), inside(v - line, 0.1) * (face.hairy > 0))
    aside, down = np.abs(out - face.eye_x - 0.01) - 0.13, np.abs(v + 0.22) - 0.07
    frame = np.abs(np.hypot(np.maximum(aside, 0), np.maximum(down, 0)) - 0.1) - 0.018
    bridge = np.maximum(np.abs(v + 0.26) - 0.015, out - 0.14)
    paint(canvas, 0.08, inside(np.minimum(frame, bridge)) * (face.glasses > 0))


def draw_cover(face, canvas):
    """Four fingers of a hand, or a bar: a scarf, a strand of hair, a microphone."""
    for finger, tip in enumerate((0.36, 0.28, 0.3, 0.4)):
        x = face.cover_x + 0.17 * finger
        distance, _ = arc(face.x, face.y, x - face.cover_tilt, tip + 1, x, tip, 0.0)
        skin = face.skin * (0.9 - 50 * distance**2)
        paint(canvas, skin, inside(distance - 0.085) * (face.hand > 0))
    distance = np.abs(face.y - face.cover_x - face.cover_tilt * face.x)
    bar = face.clothes * (1.1 - 25 * distance**2)
    paint(canvas, bar, inside(distance - 0.13) * (face.bar > 0))


def draw(face, rng):
    """Pictures (faces, 48, 48), 0..1, of faces whose landmarks and variation are known."""
    turn_head(face)
    face.texture = rng.standard_normal(face.x.shape, dtype=np.float32)
    face.strands = sum(np.roll(face.texture, step, axis=1) for step in range(5)) / np.sqrt(5)
    picture, head = np.empty_like(face.texture), np.empty_like(face.texture)
    draw_background(face, picture)
    for draw_part in (draw_skin, draw_mouth, draw_eyes, draw_hair_and_glasses):
        draw_part(face, head)
    paint(picture, head * shade(face), inside(0.8 * (face.radius - 1)))
    draw_cover(face, picture)
    picture = 0.5 + (picture * face.exposure - 0.5) * face.contrast
    padded = np.pad(picture, ((0, 0), (1, 1), (1, 1)), mode="edge")
    blurred = (padded[:, :-2] + 2 * padded[:, 1:-1] + padded[:, 2:]) / 4
    blurred = (blurred[:, :, :-2] + 2 * blurred[:, :, 1:-1] + blurred[:, :, 2:]) / 4
    paint(picture, blurred, face.blur)
    return picture + face.noise**3 * rng.standard_normal(picture.shape, dtype=np.float32)
