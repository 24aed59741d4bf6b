"""The drawing as a PNG image, for what shows no vectors."""

from __future__ import annotations

import io
import math
from collections.abc import Iterator, Mapping
from functools import lru_cache
from itertools import pairwise

from PIL import Image, ImageColor, ImageDraw, ImageFont

from memdiag.report.drawing import Area, Drawing, Line, Place, Text
from memdiag.report.palette import ROLES

_FINER = 2
"""Lines are drawn so many times finer than the image and then averaged: the library draws none with soft edges."""
_DASH = (7.0, 5.0)
_ANCHORS = {"start": "ls", "middle": "ms", "end": "rs"}
_COLOURS = 96
_BAND = 100
"""Rows of the image that are painted at once."""

Colour = tuple[int, ...]


@lru_cache(maxsize=8)
def _font(size: int) -> ImageFont.FreeTypeFont:
    """Return the library's own scalable font. Raises RuntimeError when it was built without FreeType."""
    font = ImageFont.load_default(size)
    if not isinstance(font, ImageFont.FreeTypeFont):
        raise RuntimeError("Pillow was built without FreeType: install its wheel")  # noqa: TRY004 - no wrong type, a wrong build
    return font


def _dashes(way: tuple[Place, ...], on: float, off: float) -> Iterator[tuple[Place, Place]]:
    for (x, y), (to_x, to_y) in pairwise(way):
        length = math.hypot(to_x - x, to_y - y)
        at = 0.0
        while at < length:
            ends = [
                (x + (to_x - x) * part / length, y + (to_y - y) * part / length) for part in (at, min(at + on, length))
            ]
            yield ends[0], ends[1]
            at += on + off


def _paint(
    brush: ImageDraw.ImageDraw, drawing: Drawing, colours: Mapping[str, Colour], factor: float, top: int
) -> None:
    """Paint the shapes, so much larger, on an image whose upper edge lies that many of its pixels below theirs."""

    def at(place: Place) -> tuple[float, float]:
        return place[0] * factor, place[1] * factor - top

    for shape in drawing.shapes:
        colour = colours[shape.role]
        if isinstance(shape, Area):
            brush.polygon([at(place) for place in shape.outline], fill=colour)
        elif isinstance(shape, Line):
            width = max(round(shape.width * factor), 1)
            pieces = _dashes(shape.way, *_DASH) if shape.dashed else pairwise(shape.way)
            for first, last in pieces:
                brush.line([at(first), at(last)], fill=colour, width=width)
        elif isinstance(shape, Text):
            font = _font(round(drawing.font * (1.2 if shape.role == "title" else 1.0) * factor))
            stroke = factor / 9 if shape.bold else 0
            brush.text(
                at(shape.place), shape.words, fill=colour, font=font, anchor=_ANCHORS[shape.anchor], stroke_width=stroke
            )


def png(drawing: Drawing, *, dark: bool = False, scale: float = 1.5) -> bytes:
    """Return the drawing as the bytes of a PNG file, `scale` image pixels for each of its own.

    It is painted in bands, so that it costs the process few MiB.
    """
    colours = {role: ImageColor.getrgb(paint.dark if dark else paint.light) for role, paint in ROLES.items()}
    factor = scale * _FINER
    width, height = (round(length * factor) // _FINER for length in (drawing.width, drawing.height))
    image = Image.new("RGB", (width, height), colours["paper"])
    for top in range(0, height, _BAND):
        rows = min(_BAND, height - top)
        fine = Image.new("RGB", (width * _FINER, rows * _FINER), colours["paper"])
        _paint(ImageDraw.Draw(fine), drawing, colours, factor, top * _FINER)
        image.paste(fine.resize((width, rows), Image.Resampling.BOX), (0, top))
    file = io.BytesIO()
    image.quantize(_COLOURS, dither=Image.Dither.NONE).save(file, "PNG", optimize=True)
    return file.getvalue()
