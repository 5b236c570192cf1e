"""What a training script feeds to `fit`: augmented batches, each epoch in an order of its own.

Nothing random is carried over from one epoch to the next: all of it follows from (seed, epoch), so
that a run that goes on from the middle sees the very batches it would have seen.
"""

import math

import numpy as np

import utils
from utils import CLASSES, Faces
from distribution import ONE, Devices

with utils.quiet_stderr():
    import tensorflow as tf


def training_batches(
    images: np.ndarray,
    labels: np.ndarray,
    batch_size: int,
    seed: int,
    epochs: range,
    augment=None,
    devices: Devices = ONE,
) -> tf.data.Dataset:
    """All batches of `epochs`, end to end: float32 (b, 48, 48, 1) in 0..255, one-hot (b, 7).

    images uint8 (n, 48, 48) stay uint8 in memory; each batch is converted, and augmented by
    `augment(batch, seed)`, as it is needed. Order and augmentation depend on (seed, epoch) alone:
    of several processes each makes the same batch and feeds its share. The last batch of an epoch
    lacks the few rows that several devices could not share evenly.
    """
    fold_in = tf.random.experimental.stateless_fold_in
    images = tf.constant(images[..., np.newaxis])
    targets = tf.one_hot(labels, len(CLASSES))

    def one_epoch(epoch: tf.Tensor) -> tf.data.Dataset:
        epoch_seed = fold_in([seed, 0], epoch)
        order = tf.random.experimental.stateless_shuffle(
            tf.range(len(labels)), fold_in(epoch_seed, 0)
        )
        if devices.count > 1:
            order = order[: devices.whole(len(labels))]

        def batch(step: tf.Tensor, rows: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            faces = tf.cast(tf.gather(images, rows), tf.float32)
            if augment is not None:
                faces = augment(faces, fold_in(epoch_seed, 1 + step))
            return devices.share(faces), devices.share(tf.gather(targets, rows))

        return tf.data.Dataset.from_tensor_slices(order).batch(batch_size).enumerate().map(batch)

    stream = tf.data.Dataset.range(epochs.start, epochs.stop).flat_map(one_epoch)
    return without_autotune(stream.prefetch(2))


def evaluation_batches(faces: Faces, rows: np.ndarray, devices: Devices = ONE) -> tf.data.Dataset:
    """The given rows in order: float32 (b, 48, 48, 1) in 0..255, one-hot (b, 7).

    For several devices rows of weight 0, float32 (b,), fill up the last batch. Keras divides the
    loss by all rows, so that the others weigh a little more than 1.
    """
    count = len(rows)
    rows = np.append(rows, np.repeat(rows[:1], -count % devices.count))
    data = (faces.images[rows, ..., np.newaxis], tf.one_hot(faces.labels[rows], len(CLASSES)))
    if devices.count > 1:
        data += (np.float32(len(rows) / count) * (np.arange(len(rows), dtype=np.int32) < count),)
    batches = tf.data.Dataset.from_tensor_slices(data).batch(devices.whole(255 + devices.count))

    def batch(images: tf.Tensor, *rest: tf.Tensor) -> tuple[tf.Tensor, ...]:
        return tuple(devices.share(x) for x in (tf.cast(images, tf.float32), *rest))

    return without_autotune(batches.map(batch).prefetch(2))


def without_autotune(data: tf.data.Dataset) -> tf.data.Dataset:
    # At the end of an epoch `fit` waits for the autotuner's next wake-up, up to a minute later.
    options = tf.data.Options()
    options.autotune.enabled = False
    return data.with_options(options)


def random_affine(
    images: tf.Tensor, seed: tf.Tensor, shift: float, rotation: float, zoom: float, flip: bool
) -> tf.Tensor:
    """Shift, turn, zoom and mirror each image at random in one bilinear resampling.

    The distribution is that of Keras 2's ImageDataGenerator, which the report used: shifts within
    ±`shift` of the side, turns within ±`rotation` degrees, height and width zoomed independently by
    1 ± `zoom`, mirrored every other time; the border is repeated outwards.
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

    Around the centre: input = turn · (zoom · mirror · output + shift).
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
    """Fill a square of `size` times the side with the image's mean grey, in every other image.

    Its centre lies anywhere, so that it may reach over the border (T. DeVries, G. W. Taylor,
    "Cutout", 2017; every other image as Z. Zhong et al., "Random erasing", 2017).
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
    """Scale each image about mid-grey by 1 ± `size` and lighten or darken it by ±`size` of half
    the range, clipped to 0..255. images: float32 (n, h, w, c) -> the same shape.
    """
    random = size * tf.random.stateless_uniform([2, tf.shape(images)[0], 1, 1, 1], seed, -1.0, 1.0)
    middle = 127.5
    return tf.clip_by_value((images - middle) * (1 + random[0]) + middle * (1 + random[1]), 0, 255)
