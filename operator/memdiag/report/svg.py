"""The drawing as an SVG element for a page; its colours are the page's, by class, so that they follow the theme."""

from __future__ import annotations

from collections.abc import Iterable
from xml.etree.ElementTree import Element, SubElement

from memdiag.report.drawing import Area, Drawing, Line, Place
from memdiag.report.palette import ROLES
from memdiag.report.words import printable


def colour_rules(*, dark: bool) -> str:
    """Return one theme's colours as CSS custom properties."""
    return "".join(f"--{role.lower()}:{paint.dark if dark else paint.light};" for role, paint in ROLES.items())


def shape_rules() -> str:
    """Return the CSS that gives every role its colour, as a filled area, a line and a text."""
    return "".join(
        f".a-{name}{{fill:var(--{name})}}.l-{name}{{stroke:var(--{name})}}.t-{name}{{fill:var(--{name})}}"
        for name in (role.lower() for role in ROLES)
    )


def _places(places: Iterable[Place]) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in places)


def svg(drawing: Drawing, description: str) -> Element:
    """Return the drawing as an element; `description` is what a screen reader says of it."""
    box = f"0 0 {drawing.width:g} {drawing.height:g}"
    root = Element("svg", {"viewBox": box, "role": "img", "xmlns": "http://www.w3.org/2000/svg"})
    SubElement(root, "title").text = printable(description)
    for shape in drawing.shapes:
        role = shape.role.lower()
        if isinstance(shape, Area):
            SubElement(root, "polygon", {"class": f"a-{role}", "points": _places(shape.outline)})
        elif isinstance(shape, Line):
            attributes = {"class": f"l-{role}", "points": _places(shape.way), "stroke-width": f"{shape.width:g}"}
            dash = {"stroke-dasharray": "7 5"} if shape.dashed else {}
            SubElement(root, "polyline", {**attributes, "fill": "none", **dash})
        else:
            x, y = shape.place
            attributes = {"class": f"t-{role}", "x": f"{x:.1f}", "y": f"{y:.1f}", "font-size": f"{drawing.font:g}"}
            weight = {"font-weight": "600"} if shape.bold else {}
            text = SubElement(root, "text", {**attributes, "text-anchor": shape.anchor, **weight})
            text.text = printable(shape.words)
    return root
