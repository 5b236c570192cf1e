"""Random changes of faces, each image its own.

All take `seed`, two integers as `tf.random.stateless_uniform` does, and give the same for the same.
"""

from __future__ import annotations

import math

import numpy as np

from toolbox.engine import tf


def fold_in(seed, number) -> tf.Tensor:
    """Another seed for each number."""
    return tf.random.experimental.stateless_fold_in(seed, number)


def random_affine(
    images: tf.Tensor, seed: tf.Tensor, shift: float, rotation: float, zoom: float, flip: bool
) -> tf.Tensor:
    """Shift, rotate, zoom and flip each image at random in one bilinear resampling.

    The distribution is that of Keras 2's ImageDataGenerator, which the homework used, uniform in
    each: shifts within ±`shift` of the image size, rotation within ±`rotation` degrees, height and
    width zoomed independently by 1 ± `zoom`, half of the images mirrored. The border is repeated.
    images: float32 (n, h, w, c) -> the same shape.
    """
    transforms = affine_transforms(tf.shape(images), seed, shift, rotation, zoom, flip)
    return tf.raw_ops.ImageProjectiveTransformV3(
        images=images,
        transforms=transforms,
        output_shape=tf.shape(images)[1:3],
        fill_value=0.0,
        interpolation="BILINEAR",
        fill_mode="NEAREST",
    )


def affine_transforms(
    shape: tf.Tensor, seed: tf.Tensor, shift: float, rotation: float, zoom: float, flip: bool
) -> tf.Tensor:
    """Transforms from output to input pixels, float32 (n, 8), as ImageProjectiveTransform takes.

    About the centre: input = rotation · (zoom · mirror · output + shift).
    shape: of the images, (n, h, w, c).
    """
    count, height, width = shape[0], tf.cast(shape[1], tf.float32), tf.cast(shape[2], tf.float32)
    random = tf.random.stateless_uniform([6, count], seed, -1.0, 1.0)
    mirror = tf.sign(random[5]) if flip else 1.0
    zoom_x, zoom_y = (1 + zoom * random[0]) * mirror, 1 + zoom * random[1]
    angle = random[2] * rotation * math.pi / 180
    shift_x, shift_y = shift * width * random[3], shift * height * random[4]
    center_x, center_y = (width - 1) / 2, (height - 1) / 2
    cos, sin = tf.cos(angle), tf.sin(angle)
    xx, xy, yx, yy = cos * zoom_x, -sin * zoom_y, sin * zoom_x, cos * zoom_y
    x = center_x + cos * shift_x - sin * shift_y - xx * center_x - xy * center_y
    y = center_y + sin * shift_x + cos * shift_y - yx * center_x - yy * center_y
    zero = tf.zeros_like(x)
    return tf.stack([xx, xy, x, yx, yy, y, zero, zero], axis=1)


def random_erasing(images: tf.Tensor, seed: tf.Tensor, size: float) -> tf.Tensor:
    """Fill a square of `size` times the image height with the mean grey, in half of the images.

    Its centre is anywhere, so it may reach over the border (T. DeVries, G. W. Taylor, "Cutout",
    2017; half of the images as in Z. Zhong et al., "Random erasing data augmentation", 2017).
    images: float32 (n, h, w, c) -> the same shape.
    """
    count, height, width = (tf.shape(images)[i] for i in range(3))
    random = tf.random.stateless_uniform([3, count, 1], seed)
    rows, columns = tf.range(height, dtype=tf.float32), tf.range(width, dtype=tf.float32)
    side = tf.cast(height, tf.float32)
    hit_rows = tf.abs(rows + 0.5 - random[0] * side) < size * side / 2
    hit_columns = tf.abs(columns + 0.5 - random[1] * tf.cast(width, tf.float32)) < size * side / 2
    hit = hit_rows[:, :, None] & hit_columns[:, None, :] & (random[2] < 0.5)[..., None]
    return tf.where(hit[..., None], tf.reduce_mean(images, axis=[1, 2], keepdims=True), images)


def random_contrast(images: tf.Tensor, seed: tf.Tensor, size: float) -> tf.Tensor:
    """Change contrast and brightness of each image at random, clipped to 0..255.

    Contrast by a factor of 1 ± `size` about mid-grey, brightness by ±`size` of half the range.
    images: float32 (n, h, w, c), 0..255 -> the same shape.
    """
    random = size * tf.random.stateless_uniform([2, tf.shape(images)[0], 1, 1, 1], seed, -1.0, 1.0)
    middle = 127.5
    return tf.clip_by_value((images - middle) * (1 + random[0]) + middle * (1 + random[1]), 0, 255)


def random_blur(images: tf.Tensor, seed: tf.Tensor, sigma: float) -> tf.Tensor:
    """Mix half of the images with a Gaussian blur of themselves, in a random share.

    sigma: of the Gaussian, pixels. images: float32 (n, h, w, c) -> the same shape.
    """
    over_rows, over_columns = (blur_matrix(size, sigma) for size in images.shape[1:3])
    blurred = tf.einsum("ij,njkc,lk->nilc", over_rows, images, over_columns)
    share = tf.random.stateless_uniform([tf.shape(images)[0], 1, 1, 1], seed, -1.0, 1.0)
    return images + tf.nn.relu(share) * (blurred - images)


def blur_matrix(size: int, sigma: float) -> np.ndarray:
    """float32 (size, size): times a column of pixels it is the column blurred, mirrored at its
    ends. Two such products take a third of the time of a convolution.
    """
    reach = math.ceil(2 * sigma)
    weights = np.exp(-(np.arange(-reach, reach + 1) ** 2) / (2 * sigma**2))
    mirrored = np.pad(np.eye(size), [(reach, reach), (0, 0)], "symmetric")
    shifted = np.stack([mirrored[start : start + size] for start in range(len(weights))])
    return np.average(shifted, axis=0, weights=weights).astype(np.float32)
