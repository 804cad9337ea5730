"""The JSON schemas of our files, made from the dataclasses that read them.

    python docs/_ext/json_schemas.py           # write docs/reference/schemas/*.schema.json
    python docs/_ext/json_schemas.py --check   # exit 1 where a file there is not what is made now

Bounds that a field states in its annotation, such as `Annotated[int, Range(1, 4096)]`, become those
of the schema. What a reader checks in code is added here, from the constants it checks against.
"""

from __future__ import annotations

import dataclasses
import inspect
import json
import re
import sys
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from edgeswap_compress.checkpoint import swap_config, swap_parts
from edgeswap_compress.checkpoint.swap_config import SwapConfig
from edgeswap_compress.conditioning import crops, specs
from edgeswap_compress.plan import plan
from edgeswap_runtime.bundle import manifest, run_order
from edgeswap_runtime.bundle.manifest import Manifest

FOLDER = Path(__file__).parents[1] / "reference" / "schemas"
DIALECT = "https://json-schema.org/draft/2020-12/schema"
SHA256 = "^[0-9a-f]{64}$"
SCALARS = {str: "string", bool: "boolean", int: "integer", float: "number"}

Schema = dict[str, Any]


class Definitions:
    """Dataclasses on the way to `$defs`, each written once.

    Args:
        constants: fields whose default is the one value that a reader accepts.
    """

    def __init__(self, constants: frozenset[str] = frozenset()) -> None:
        self.constants = constants
        self.found: dict[str, Schema] = {}

    def of(self, kind: Any) -> Schema:
        """The schema of an annotation: scalars, tuples, lists, dicts, unions, dataclasses."""
        origin, arguments = typing.get_origin(kind), typing.get_args(kind)
        if kind is Any:
            return {}
        if origin is Annotated:
            return self.of(arguments[0]) | _bounds(arguments[1:], self.of(arguments[0]))
        if dataclasses.is_dataclass(kind):
            name = getattr(kind, "__name__", "")
            if name not in self.found:
                self.found[name] = {}  # so that a circle ends
                self.found[name] = self.object_of(kind)
            return {"$ref": f"#/$defs/{name}"}
        if origin in (typing.Union, types.UnionType):
            return {"anyOf": [self.of(choice) for choice in arguments]}
        if origin is tuple and arguments[-1] is not Ellipsis:
            items = [self.of(argument) for argument in arguments]
            size = {"minItems": len(items), "maxItems": len(items)}
            return {"type": "array", "prefixItems": items, **size}
        if origin in (tuple, list):
            return {"type": "array", "items": self.of(arguments[0])}
        if origin is dict:
            names = {} if arguments[0] is str else {"propertyNames": self.of(arguments[0])}
            return {"type": "object", "additionalProperties": self.of(arguments[1]), **names}
        if kind is type(None):
            return {"type": "null"}
        return {"type": SCALARS[kind]}

    def object_of(self, kind: Any) -> Schema:
        """The schema of a dataclass: no unknown fields, and none missing that has no default."""
        hints = typing.get_type_hints(kind, include_extras=True)
        told = _attributes(kind)
        properties: dict[str, Schema] = {}
        required = []
        for field in dataclasses.fields(kind):
            schema = self.of(hints[field.name])
            if field.name in self.constants or (field.name == "kind" and _is_tag(field)):
                schema = {"const": json.loads(json.dumps(field.default))}
            if field.name in told:
                schema = {"description": told[field.name], **schema}
            properties[field.name] = schema
            if (field.default, field.default_factory) == (dataclasses.MISSING,) * 2:
                required.append(field.name)
        return {
            "description": (inspect.getdoc(kind) or "").partition("\n")[0],
            "type": "object",
            "properties": properties,
            "required": required,
            "additionalProperties": False,
        }


def _bounds(bounds: tuple[Any, ...], schema: Schema) -> Schema:
    """What `Range`, `Size` and `Pattern` of the runtime's schema module say, as keywords."""
    kind = schema.get("type")
    least, most = {
        "string": ("minLength", "maxLength"),
        "array": ("minItems", "maxItems"),
        "object": ("minProperties", "maxProperties"),
    }.get(str(kind), ("minimum", "maximum"))
    found: Schema = {}
    for bound in bounds:
        if hasattr(bound, "expression"):
            found["pattern"] = f"^(?:{bound.expression})$"
        elif hasattr(bound, "least"):
            found |= {least: bound.least, most: bound.most}
    return found


def _attributes(kind: Any) -> dict[str, str]:
    """Field -> what the docstring's section `Attributes` or `Args` says of it."""
    text = inspect.getdoc(kind) or ""
    section = re.search(r"^(?:Attributes|Args):\n((?:    .*\n?|\n)+)", text, re.M)
    entries = re.findall(
        r"^    (\w+): ((?:.+\n?)(?:^ {8}.*\n?)*)", section[1] if section else "", re.M
    )
    return {name: " ".join(said.split()) for name, said in entries}


def _document(name: str, title: str, version: int, body: Schema, defs: Schema) -> Schema:
    head = {"$schema": DIALECT, "$id": f"urn:edgeswap:{name}:{version}", "title": title}
    return {**head, **body, **({"$defs": defs} if defs else {})}


def manifest_schema() -> Schema:
    """`manifest.json` of a bundle."""
    definitions = Definitions(frozenset({"schema", "kind"}))
    body = definitions.object_of(Manifest)
    body["properties"]["graphs"]["required"] = sorted(run_order.REQUIRED)
    body["properties"]["crops"]["required"] = [manifest.MODEL_CROP]
    body["properties"]["manifest_sha256"] = {
        "description": "sha256 of the manifest without this field, as canonical JSON",
        "type": "string",
        "pattern": SHA256,
    }
    body["required"] = ["schema", "kind", *body["required"], "manifest_sha256"]
    title = "manifest.json of an edgeswap bundle"
    return _document("manifest", title, manifest.SCHEMA, body, definitions.found)


def _is_tag(field: dataclasses.Field[Any]) -> bool:
    """Whether a field `kind` is the constant that tells members of a union apart."""
    return field.type == "str" and isinstance(field.default, str)


_CHOICES: Mapping[tuple[str, str], tuple[str, ...]] = {
    ("InputGroup", "role"): swap_parts.ROLES,
    ("InputGroup", "one_is"): swap_parts.POLARITIES,
    ("SampleSpace", "target"): swap_parts.SAMPLE_TARGETS,
    ("SamplingStart", "at"): swap_parts.STARTS,
    ("SamplingConfig", "spacing"): swap_parts.SPACINGS,
    ("SamplingConfig", "blend"): swap_parts.BLENDS,
    ("PictureFeature", "of"): crops.OWNERS,
    ("ProjectionSpec", "gives"): specs.GIVES,
    ("ProjectionSpec", "null"): specs.NULLS,
    ("AttentionSpec", "kind"): specs.ATTENTIONS,
    ("ControlNetSpec", "hint"): specs.HINTS,
    ("ControlNetSpec", "of"): crops.OWNERS,
    ("ControlNetSpec", "tokens"): specs.HINT_TOKENS,
}
"""Part of swap.json and field -> the words that are known."""


def swap_schema() -> Schema:
    """`swap.json` of a checkpoint."""
    definitions = Definitions()
    body = definitions.object_of(SwapConfig)
    properties = body["properties"]
    properties["weights_dtype"]["enum"] = list(swap_config.WEIGHT_DTYPES)
    properties["crops"]["required"] = [crops.MODEL_CROP]
    for (part, name), choices in _CHOICES.items():
        schema = definitions.found[part]["properties"][name]
        absent = [None] if "anyOf" in schema else []
        told = {key: schema[key] for key in ("description",) if key in schema}
        definitions.found[part]["properties"][name] = {**told, "enum": [*choices, *absent]}
    for name, kind in definitions.found.items():
        if "kind" in kind["properties"] and name != "AttentionSpec":
            kind["required"] = ["kind", *kind["required"]]
    properties |= {
        "schema": {"const": swap_config.SCHEMA},
        "kind": {"const": "swap-checkpoint"},
        "files": {
            "description": "path in the folder -> sha256, of every other file",
            "type": "object",
            "additionalProperties": {"type": "string", "pattern": SHA256},
        },
    }
    always = ("schema", "kind", "files", "mask", "history")
    body["required"] = sorted({*body["required"], *always})
    title = "swap.json of an edgeswap checkpoint"
    return _document("swap", title, swap_config.SCHEMA, body, definitions.found)


def pruning_schema() -> Schema:
    """`pruning.json` of a pruned U-Net."""
    axis = {
        "description": "the indices of one axis that stay; null leaves the axis whole",
        "type": ["object", "null"],
        "properties": {
            "of": {"type": "integer", "minimum": 1, "maximum": plan.MAX_WIDTH},
            "kept": {
                "description": "ascending runs, such as 0-2,5 for 0, 1, 2 and 5",
                "type": "string",
                "pattern": r"^\d+(-\d+)?(,\d+(-\d+)?)*$",
            },
        },
        "required": ["of", "kept"],
        "additionalProperties": False,
    }
    stats = Definitions().object_of(plan.PlanStats)
    for schema in stats["properties"].values():  # a field that says nothing is left out, never null
        if "anyOf" in schema:
            (kind,) = [choice for choice in schema.pop("anyOf") if choice != {"type": "null"}]
            schema |= kind
    cut = {
        "type": "object",
        "properties": {"out": {"$ref": "#/$defs/axis"}, "in": {"$ref": "#/$defs/axis"}},
        "required": ["out", "in"],
        "additionalProperties": False,
    }
    heads = {"type": "array", "items": {"type": "integer", "minimum": 0}, "minItems": 1}
    drop = {"enum": list(typing.get_args(plan.DropKind))}
    told = _attributes(plan.PruningPlan)
    parts: Mapping[str, Schema] = {
        "layers": cut,
        "heads": heads,
        "groups": {"type": "integer", "minimum": 1},
        "dropped": drop,
    }
    properties: dict[str, Schema] = {
        name: {"description": told[name], "type": "object", "additionalProperties": part}
        for name, part in parts.items()
    }
    properties["schema"] = {"const": plan.SCHEMA}
    properties["stats"] = {"anyOf": [{"$ref": "#/$defs/stats"}, {"type": "null"}]}
    body = {
        "type": "object",
        "properties": properties,
        "required": sorted(properties),
        "additionalProperties": False,
    }
    title = "pruning.json of a pruned U-Net"
    return _document("pruning", title, plan.SCHEMA, body, {"axis": axis, "stats": stats})


SCHEMAS = {"manifest": manifest_schema, "swap": swap_schema, "pruning": pruning_schema}


def text_of(name: str) -> str:
    """A schema as its file holds it."""
    return json.dumps(SCHEMAS[name](), indent=1, ensure_ascii=False) + "\n"


def path_of(name: str) -> Path:
    """Where a schema's file lies."""
    return FOLDER / f"{name}.schema.json"


def main(arguments: list[str]) -> int:
    """Write the files, or check them."""
    stale = [n for n in SCHEMAS if not path_of(n).exists() or path_of(n).read_text() != text_of(n)]
    if "--check" in arguments:
        for name in stale:
            print(f"{path_of(name)} is out of date: python docs/_ext/json_schemas.py")
        return 1 if stale else 0
    for name in stale:
        path_of(name).write_text(text_of(name))
        print(f"wrote {path_of(name)}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
