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


def png(drawing: Drawing, *, dark: bool = False, scale: float = 1.5) -> bytes:
    """Return the drawing as the bytes of a PNG file, `scale` image pixels for each of its own."""
    factor = scale * _FINER
    colours: Mapping[str, tuple[int, ...]] = {
        role: ImageColor.getrgb(paint.dark if dark else paint.light) for role, paint in ROLES.items()
    }
    size = (round(drawing.width * factor), round(drawing.height * factor))
    image = Image.new("RGB", size, colours["paper"])
    brush = ImageDraw.Draw(image)

    def at(place: Place) -> tuple[float, float]:
        return place[0] * factor, place[1] * factor

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
    smooth = image.resize((size[0] // _FINER, size[1] // _FINER), Image.Resampling.BOX)
    file = io.BytesIO()
    smooth.quantize(_COLOURS, dither=Image.Dither.NONE).save(file, "PNG", optimize=True)
    return file.getvalue()
