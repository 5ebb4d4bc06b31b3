"""Figures as small PNG files: a palette of few colours takes a quarter of the bytes."""

import io
from typing import BinaryIO

from matplotlib.figure import Figure
from PIL import Image


def reduced(source: BinaryIO, colours: int) -> bytes:
    """A PNG file with a palette of at most `colours` colours.

    Args:
        source: an open PNG file.
        colours: the size of the palette.
    """
    packed = io.BytesIO()
    with Image.open(source) as image:
        # The usual median cut would merge rare colours, such as that of a heading, with their
        # neighbours.
        palette = image.convert("RGB").quantize(
            colours, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE
        )
        palette.save(packed, "PNG", optimize=True)
    return packed.getvalue()


def png(figure: Figure, colours: int) -> bytes:
    """A figure as a PNG file with a palette of at most `colours` colours."""
    pixels = io.BytesIO()
    figure.savefig(pixels, format="png")
    return reduced(pixels, colours)
