"""Packages that take seconds to import are imported when first used: --help needs none of them.

from toolbox.late import Figure, Late  # of Matplotlib
stats = Late("scipy.stats")
"""

import importlib
from collections.abc import Callable
from typing import TYPE_CHECKING

# Okabe and Ito's colours, which colour-blind readers tell apart: C0, C1 ... of all figures.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")


class Late:
    """Stands for a module, or for a class in it; imports it when first used.

    before: called before that.
    """

    def __init__(self, module: str, name: str = "", before: Callable[[], object] | None = None):
        self._module, self._name, self._before = module, name, before

    def _load(self):
        if self._before:
            self._before()
        module = importlib.import_module(self._module)
        return getattr(module, self._name) if self._name else module

    def __getattr__(self, name: str):
        return getattr(self._load(), name)

    def __call__(self, *args, **options):
        return self._load()(*args, **options)


def _use_palette() -> None:
    matplotlib = importlib.import_module("matplotlib")
    matplotlib.rcParams["axes.prop_cycle"] = matplotlib.cycler(color=PALETTE)


if TYPE_CHECKING:  # so that editors know them
    from matplotlib import ticker
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.image import AxesImage
    from matplotlib.lines import Line2D
    from matplotlib.patches import Rectangle
else:
    ticker = Late("matplotlib.ticker")
    Axes = Late("matplotlib.axes", "Axes")
    AxesImage = Late("matplotlib.image", "AxesImage")
    Figure = Late("matplotlib.figure", "Figure", before=_use_palette)
    Line2D = Late("matplotlib.lines", "Line2D")
    Rectangle = Late("matplotlib.patches", "Rectangle")

__all__ = ["PALETTE", "Axes", "AxesImage", "Figure", "Late", "Line2D", "Rectangle", "ticker"]
