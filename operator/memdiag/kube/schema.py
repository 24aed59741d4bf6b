"""From a pydantic model to a Kubernetes structural schema, with checks of our own."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

_KEPT = frozenset(
    {
        "type", "description", "format", "enum", "pattern", "minimum", "maximum", "minLength", "maxLength", "minItems",
        "maxItems", "maxProperties", "required", "properties", "items", "additionalProperties", "default",
    }
)  # fmt: skip
_DROPPED = frozenset({"title", "$defs"})


class SchemaError(ValueError):
    """A model that has no structural schema; the message names the field."""


def structural(model: type[BaseModel]) -> dict[str, Any]:
    """Return the model's structural schema: references inlined, unions with null made optional, bounds closed.

    Raises SchemaError when the model uses what a structural schema cannot say.
    """
    raw = model.model_json_schema(by_alias=True, mode="validation")
    return _convert(raw, raw.get("$defs", {}), model.__name__)


def _merged(node: Mapping[str, Any], definitions: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Return the node without `$ref`, one-armed `allOf` and unions with null; its own words win over the target's."""
    own = dict(node)
    if "$ref" in own:
        target = definitions[own.pop("$ref").rsplit("/", 1)[1]]
    elif "anyOf" in own:
        arms = [arm for arm in own.pop("anyOf") if arm != {"type": "null"}]
        if len(arms) != 1:
            raise SchemaError(f"{where}: a union of {len(arms)} types has no structural schema")
        target = arms[0]
    else:
        return own
    return {**_merged(target, definitions, where), **own}


def _closed(node: dict[str, Any], where: str) -> dict[str, Any]:
    """Return the node with `const` as `enum` and exclusive bounds of integers as closed ones."""
    closed = dict(node)
    if "const" in closed:
        closed["enum"] = [closed.pop("const")]
    for exclusive, bound, step in (("exclusiveMinimum", "minimum", 1), ("exclusiveMaximum", "maximum", -1)):
        if exclusive in closed:
            if closed.get("type") != "integer":
                raise SchemaError(f"{where}: {exclusive} on a {closed.get('type')} cannot be closed")
            closed[bound] = closed.pop(exclusive) + step
    return closed


def _convert(node: Mapping[str, Any], definitions: Mapping[str, Any], where: str) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for key, value in _closed(_merged(node, definitions, where), where).items():
        if key in _DROPPED or (key == "default" and value in (None, [], {})):
            continue
        if key not in _KEPT and not key.startswith("x-kubernetes-"):
            raise SchemaError(f"{where}: {key} has no place in a structural schema")
        result[key] = " ".join(value.split()) if key == "description" else value
    for step, child in _children(result):
        result[step.word] = (
            {**result[step.word], step.name: _convert(child, definitions, where + step.text)}
            if step.name is not None
            else _convert(child, definitions, where + step.text)
        )
    if result.get("type") == "array":
        result.setdefault("x-kubernetes-list-type", "atomic")
    return result


@dataclass(frozen=True, slots=True)
class _Step:
    """The way from a schema node to one of its children."""

    word: str
    name: str | None
    text: str


def _children(schema: Mapping[str, Any]) -> Iterator[tuple[_Step, Mapping[str, Any]]]:
    for name, child in schema.get("properties", {}).items():
        yield _Step("properties", name, f".{name}"), child
    if "items" in schema:
        yield _Step("items", None, "[]"), schema["items"]
    if isinstance(schema.get("additionalProperties"), Mapping):
        yield _Step("additionalProperties", None, "{}"), schema["additionalProperties"]


_RULES: tuple[tuple[str, Callable[[Mapping[str, Any]], bool]], ...] = (
    ("has no single type", lambda node: not isinstance(node.get("type"), str)),
    (
        "string without maxLength or enum",
        lambda node: node.get("type") == "string" and not {"maxLength", "enum"} & node.keys(),
    ),
    (
        "integer without minimum and maximum",
        lambda node: node.get("type") == "integer" and not {"minimum", "maximum"} <= node.keys(),
    ),
    ("floats do not belong into an object; write the number as a string", lambda node: node.get("type") == "number"),
    (
        "list without maxItems or items",
        lambda node: node.get("type") == "array" and not {"maxItems", "items"} <= node.keys(),
    ),
    (
        "map without maxProperties",
        lambda node: node.get("type") == "object" and not {"properties", "maxProperties"} & node.keys(),
    ),
    (
        "properties and additionalProperties exclude each other",
        lambda node: {"properties", "additionalProperties"} <= node.keys(),
    ),
)


def problems(schema: Mapping[str, Any], where: str = "") -> Iterator[str]:
    """Yield what breaks our rules: every node has one type, and strings, lists, maps and integers have bounds."""
    for text, broken in _RULES:
        if broken(schema):
            yield f"{where}: {text}"
    for step, child in _children(schema):
        yield from problems(child, where + step.text)


def largest_bytes(schema: Mapping[str, Any], longest_key: int) -> int:
    """Return the size in bytes of the largest compact JSON document that the schema allows, one byte a character.

    Map keys count as `longest_key` characters; that a quotation mark takes two bytes in JSON is left out.
    """
    scalars: dict[str, Callable[[], int]] = {
        "string": lambda: int(schema["maxLength"]) + 2,
        "integer": lambda: max(len(str(schema["minimum"])), len(str(schema["maximum"]))),
        "boolean": lambda: len("false"),
        "array": lambda: 2 + int(schema["maxItems"]) * (largest_bytes(schema["items"], longest_key) + 1),
    }
    if "enum" in schema:
        return max(len(str(value)) for value in schema["enum"]) + 2
    if schema["type"] in scalars:
        return scalars[schema["type"]]()
    if "properties" in schema:
        return 2 + sum(
            len(name) + 4 + largest_bytes(child, longest_key) for name, child in schema["properties"].items()
        )
    entry = longest_key + 4 + largest_bytes(schema["additionalProperties"], longest_key)
    return 2 + int(schema["maxProperties"]) * entry
