"""Who explains the untrained compact: saliency maps, and images that maximally activate filters.

As in trainers.py, the frameworks are imported where they are used.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks.timing import Times, stopwatch
from benchmarks.trainers import noise

STEPS = 32  # of integrated gradients


def untrained_compact():
    """The shipped network, untrained; the same weights in every process."""
    import train_cnn
    from toolbox.analysis import saved_models
    from toolbox.engine import keras

    keras.utils.set_random_seed(0)
    args, path = train_cnn.RECIPES["compact"], Path("untrained.keras")
    model = train_cnn.build_vgg(args.width, args.dropout)
    return saved_models.Classifier(path.stem, path, model, saved_models.PIXEL_RANGE, None)


def untrained_logits():
    """The same up to its logits, as it would be saved."""
    from toolbox.analysis.model_layers import logits_model

    return logits_model(untrained_compact().model)


def map_ours(
    images: np.ndarray, labels: np.ndarray, what: str, precision: str = "float32"
) -> Callable[[], np.ndarray]:
    """Our gradients, our integrated gradients, or the forward pass alone."""
    from toolbox.analysis import attribution

    net = attribution.explain(untrained_compact(), precision)
    if what == "forward":
        return lambda: attribution.in_batches(lambda x, _: net.scores(x), images, labels)
    if what == "gradient":
        return lambda: attribution.gradient(net, images, labels)
    return lambda: attribution.integrated_gradients(net, images, labels, STEPS, STEPS)[0]


def map_by_keras_vis(images: np.ndarray, labels: np.ndarray) -> Callable[[], np.ndarray]:
    """The gradients of tf-keras-vis: their sizes, each map scaled to 0..1."""
    from tf_keras_vis.saliency import Saliency
    from tf_keras_vis.utils.scores import CategoricalScore

    peer = Saliency(untrained_logits(), clone=False)
    faces, score = images[..., np.newaxis].astype("f4"), CategoricalScore(labels.tolist())
    return lambda: peer(score, faces)


def map_by_pair(
    images: np.ndarray, labels: np.ndarray, integrated: bool
) -> Callable[[], np.ndarray]:
    """The maps of PAIR's saliency, which takes one face at a time."""
    import saliency.core as pair  # found before our saliency.py: see benchmark.py

    from toolbox.engine import tf

    model, faces = untrained_logits(), images[..., np.newaxis].astype("f4")
    peer = pair.IntegratedGradients() if integrated else pair.GradientSaliency()

    def call(inputs, call_model_args, expected_keys=None) -> dict:  # as PAIR names them
        inputs = tf.convert_to_tensor(inputs, tf.float32)
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            score = model(inputs, training=False)[:, call_model_args]
        return {pair.INPUT_OUTPUT_GRADIENTS: tape.gradient(score, inputs).numpy()}

    def map_of(face: np.ndarray, label: int) -> np.ndarray:
        if not integrated:
            return peer.GetMask(face, call, label)[..., 0]
        blank = np.full_like(face, face.mean())
        return peer.GetMask(face, call, label, blank, x_steps=STEPS, batch_size=STEPS)[..., 0]

    pairs = list(zip(faces, labels.astype(int), strict=True))
    return lambda: np.stack([map_of(face, label) for face, label in pairs])


OUR_GRADIENT, FORWARD = "gradient: ours", "forward pass alone: ours"
KERAS_VIS, PAIR = "gradient: tf-keras-vis", "gradient: PAIR saliency"
MAPPERS: dict[str, tuple[Callable, int]] = {  # and the faces of one measurement
    OUR_GRADIENT: (partial(map_ours, what="gradient"), 1000),
    FORWARD: (partial(map_ours, what="forward"), 1000),
    "gradient in bfloat16: ours": (partial(map_ours, what="gradient", precision="bfloat16"), 1000),
    KERAS_VIS: (map_by_keras_vis, 1000),
    PAIR: (partial(map_by_pair, integrated=False), 200),
    "integrated gradients: ours": (partial(map_ours, what="integrated"), 100),
    "integrated gradients: PAIR saliency": (partial(map_by_pair, integrated=True), 50),
}


def deepest_layer():
    """The untrained model up to its last convolution's activations."""
    from toolbox.analysis.filter_layers import filter_layers
    from toolbox.engine import keras

    model = untrained_compact().model
    return keras.Model(model.inputs, filter_layers(model)[-1].measured.output)


def climb_ours(filters: int, steps: int, plain: bool = False) -> Callable[[], None]:
    """Our ascent, all filters in one batch; `plain` is the homework's bare method."""
    from toolbox.analysis.activation_maximization import AscentSettings, ascend, climbers

    climber, settings = climbers(untrained_compact())[-1], AscentSettings(steps, plain=plain)
    return lambda: ascend(climber, np.arange(filters), settings)


def climb_by_keras_vis(filters: int, steps: int) -> Callable[[], None]:
    """The ascent of tf-keras-vis with its default regularizers, all filters in one batch."""
    from tf_keras_vis.activation_maximization import ActivationMaximization
    from tf_keras_vis.utils.scores import CategoricalScore

    peer, score = ActivationMaximization(deepest_layer()), CategoricalScore(list(range(filters)))
    images = noise(filters, 0)[0][..., np.newaxis].astype("f4")
    return lambda: peer(score, images, steps=steps)


def climb_eagerly(filters: int, steps: int) -> Callable[[], None]:
    """The usual way, as in Keras's own example: one filter after the other, step by step, the
    gradient of the filter's mean with respect to an image, taken eagerly.
    """
    from toolbox.engine import tf

    part = deepest_layer()

    def climb() -> None:
        for number in range(filters):
            image = tf.random.uniform((1, 48, 48, 1)) * 20 + 118
            for _ in range(steps):
                with tf.GradientTape() as tape:
                    tape.watch(image)
                    value = tf.reduce_mean(part(image)[..., number])
                image += 10 * tf.math.l2_normalize(tape.gradient(value, image))

    return climb


CLIMB, EAGER, VIS_CLIMB = "ascent: ours", "ascent: eager loop over filters", "ascent: tf-keras-vis"
CLIMBERS: dict[str, tuple[Callable, int]] = {  # and the filters of one measurement
    CLIMB: (climb_ours, 64),
    "ascent, plain: ours": (partial(climb_ours, plain=True), 64),
    VIS_CLIMB: (climb_by_keras_vis, 64),
    EAGER: (climb_eagerly, 4),
}


def time_maps(kind: str, count: int, seed: int) -> tuple[Times, np.ndarray]:
    """Seconds per 1,000 maps, after one call to trace and warm up; and some of the maps."""
    make, _ = MAPPERS[kind]
    work = make(*noise(count, seed))
    maps = work()
    return tuple(seconds * 1000 / count for seconds in stopwatch(work)), maps[:8]


def time_climb(kind: str, steps: int) -> Times:
    """Seconds per step for 64 filters, from the difference of two runs: tracing takes no part."""
    make, filters = CLIMBERS[kind]
    one, two = (stopwatch(make(filters, count)) for count in (steps, 3 * steps))
    return tuple((b - a) / (2 * steps) * 64 / filters for a, b in zip(one, two, strict=True))
