"""Figures that a notebook displays, made without pyplot."""

import io
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

DISPLAY_DPI = 110.0
"""Dots per inch of a picture in a notebook."""


class PictureAxes(Axes):
    """Axes that a notebook displays, with all of their figure."""

    def _repr_png_(self) -> bytes:
        figure = self.get_figure(root=True)
        assert figure is not None
        return _png(figure)


class Picture(Figure):
    """A figure that a notebook displays as PNG, without pyplot or a display."""

    def _repr_png_(self) -> bytes:
        return _png(self)

    def add_subplot(self, *args: Any, **kwargs: Any) -> Any:
        """Add axes that a notebook displays; see ``Figure.add_subplot``."""
        if "projection" not in kwargs and "polar" not in kwargs:
            kwargs.setdefault("axes_class", PictureAxes)
        return super().add_subplot(*args, **kwargs)


def _png(figure: Figure) -> bytes:
    """Return a figure as PNG, on white."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=DISPLAY_DPI, facecolor="white")
    return buffer.getvalue()
