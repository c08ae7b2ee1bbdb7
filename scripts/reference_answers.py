"""Add what answers tell that tests of the API got to ``src/hookline/api/answers.json``: shapes, and one real one each.

An object with an id of ours has the same shape wherever it stands, and a name. A field is required when every answer
had it. What users and their code put in has no shape: it is theirs. Secrets in the examples are made unrecognizable.

    HOOKLINE_ANSWERS=FOLDER python3 -m pytest tests/scenario -k "api or conversations or render or robots or scripts"
    python3 scripts/reference_answers.py FOLDER
"""

from __future__ import annotations

import argparse
import json
import re
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from hookline.model.ids import PREFIXES
from hookline.model.states import AttemptOutcome, DeliveryState, ExecutionStatus, ReplayStatus, WebhookStatus

if TYPE_CHECKING:
    from collections.abc import Iterator

TARGET: Final = Path(__file__).resolve().parent.parent / "src" / "hookline" / "api" / "answers.json"

NAMES: Final = {prefix: word.title().replace("_", "") for word, prefix in PREFIXES.items()}
"""Prefix of an id to the name of the shape that has it."""

THEIRS: Final = frozenset(
    {
        "arguments",
        "changes",
        "conditions",
        "config",
        "config_variables",
        "data",
        "input",
        "input_data",
        "metadata",
        "movie",
    }
    | {"output", "payload", "recording", "result", "script", "test_data", "value"}
)
"""Fields whose content is the users' own."""

SECRET: Final = frozenset({"api_key", "key", "password", "secret", "signing_key", "token"})
TIME: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")
OWN_ID: Final = re.compile(r"[a-z]+_(?=[0-9a-f]{8}-[0-9a-f]{4}-7)")
BYTES: Final = (
    "/artifacts/{",
    "/body",
    "/output",
    "/payloads/",
    "/results/",
    "/schema",
    "/events/{event_id}/payload",
)
"""Parts of paths that answer with what somebody else made."""
ELSEWHERE: Final = {
    r"http://(127\.0\.0\.1|localhost)(:\d+)?": "https://hooks.example.com",
    r"/tmp/\S*/": "/var/lib/hookline/",
}
"""What names the machine of a test, and what an example has instead."""
MANY_FIELDS: Final = 5
WORDS: Final = {
    ("Attempt", "outcome"): AttemptOutcome,
    ("Delivery", "state"): DeliveryState,
    ("Execution", "status"): ExecutionStatus,
    ("Replay", "status"): ReplayStatus,
    ("Webhook", "status"): WebhookStatus,
}
"""Fields that hold one of so many words."""
MOST_EXAMPLE: Final = 2_500
"""Characters; a larger example teaches no more."""


class Shapes:
    """Schemas of values, and the named ones that they share."""

    def __init__(self) -> None:
        self._named: dict[str, list[dict[str, Any]]] = defaultdict(list)
        self._alike: dict[tuple[str, ...], list[dict[str, Any]]] = defaultdict(list)
        self._fields: dict[str, int] = defaultdict(int)

    def collect(self, answers: list[Any]) -> None:
        """Take in every object, wherever it stands."""
        found = [one for answer in answers for one in objects_in(answer)]
        for one in found:
            name = word_of(one)
            self._fields[name] = max(self._fields[name], len(one))
        for one in found:
            if (name := self._name(one)) is not None:
                self._named[name].append(one)
            self._alike[tuple(sorted(one))].append(one)

    def _name(self, value: dict[str, Any]) -> str | None:
        """Return the name of an object's shape; one with few of a thing's fields says what was done to the thing."""
        word = word_of(value)
        return word if word and 2 * len(value) >= self._fields[word] else None

    def named(self) -> dict[str, Any]:
        """Return the named shapes."""
        found = {name: self._object(values) for name, values in sorted(self._named.items())}
        for (name, field), words in WORDS.items():
            if name in found:
                found[name]["properties"][field]["enum"] = [str(word) for word in words]
        return found

    def of(self, values: list[Any]) -> dict[str, Any]:
        """Return a schema that all these values fit."""
        kinds = sorted({kind_of(value) for value in values})
        if "number" in kinds and "integer" in kinds:
            kinds.remove("integer")
        found: dict[str, Any] = {"type": kinds[0] if len(kinds) == 1 else kinds}
        objects = [value for value in values if isinstance(value, dict)]
        lists = [one for value in values if isinstance(value, list) for one in value]
        texts = [value for value in values if isinstance(value, str)]
        if objects:
            names = {self._name(one) for one in objects}
            if len(names) == 1 and None not in names:
                reference = {"$ref": f"#/components/schemas/{names.pop()}"}
                return reference if kinds == ["object"] else {"anyOf": [reference, {"type": "null"}]}
            found |= self._object(objects) | {"type": found["type"]}
        if "array" in kinds:
            found["items"] = self.of(lists) if lists else {}
        if texts and all(TIME.fullmatch(text) for text in texts):
            found["format"] = "date-time"
        return found

    def _object(self, values: list[dict[str, Any]]) -> dict[str, Any]:
        fields = {name: None for value in values for name in value}
        always = [name for name in fields if all(name in value for value in values)]
        if (
            len(always) >= MANY_FIELDS
        ):  # what stands elsewhere with the same fields tells more of what they hold
            values = [
                one for fields_ in {tuple(sorted(value)) for value in values} for one in self._alike[fields_]
            ]
        if not always:  # a table by names that are data themselves
            inner = [one for value in values for one in value.values()]
            return {"type": "object", "additionalProperties": self.of(inner) if inner else {}}
        properties = {
            name: {} if name in THEIRS else self.of([value[name] for value in values if name in value])
            for name in fields
        }
        return {"type": "object", "required": always, "properties": properties}


def objects_in(value: Any) -> Iterator[dict[str, Any]]:
    """Every object in a value, but what is the users' own."""
    if isinstance(value, list):
        for one in value:
            yield from objects_in(one)
    elif isinstance(value, dict):
        yield value
        for field, one in value.items():
            if field not in THEIRS:
                yield from objects_in(one)


def word_of(value: dict[str, Any]) -> str:
    """Return the name of the thing that an object is, by its id; empty for none of ours."""
    found = OWN_ID.match(str(value.get("id", "")))
    return NAMES.get(found[0], "") if found is not None else ""


def kind_of(value: Any) -> str:
    words = {bool: "boolean", int: "integer", float: "number", str: "string", list: "array", dict: "object"}
    return words.get(type(value), "null")


def example(values: list[Any]) -> Any:
    """Return the value that tells most: of those that are short enough, the one with the most that is not null."""
    shown = [shortened(value) for value in values]
    fitting = [one for one in shown if len(json.dumps(one)) <= MOST_EXAMPLE] or shown[:1]
    return max(fitting, key=told)


def told(value: Any) -> int:
    if isinstance(value, dict | list):
        return 1 + sum(told(one) for one in (value.values() if isinstance(value, dict) else value))
    return 0 if value is None else 1


def shortened(value: Any, field: str = "") -> Any:
    """Return a value with at most one element in each list, and no secret."""
    if isinstance(value, dict):
        return {name: shortened(one, name) for name, one in value.items()}
    if isinstance(value, list):
        return [shortened(one, field) for one in value[:1]]
    if isinstance(value, str):
        if field in SECRET or value.startswith(("whsec_", "whsk_")):
            return f"{value.partition('_')[0]}_…" if "_" in value else "…"
        for here, elsewhere in ELSEWHERE.items():
            value = re.sub(here, elsewhere, value)
        return re.sub(r"((?:token|signature|key)=)[^&\s]+", r"\1…", value)
    return value


def answers(lines: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the content of the file. lines: notes of ``tests/support/described.py``."""
    sent: dict[str, list[Any]] = defaultdict(list)
    got: dict[tuple[str, str], list[Any]] = defaultdict(list)
    for line in lines:
        if any(part in line["route"] for part in BYTES):
            continue
        body = json.loads(line["body"].encode("latin-1"))
        got[line["route"], str(line["status"])].append(body)
        if line["sent"].strip().startswith("{"):
            sent[line["route"]].append(json.loads(line["sent"].encode("latin-1")))
    shapes = Shapes()
    shapes.collect([one for bodies in got.values() for one in bodies])
    routes: dict[str, Any] = {}
    for (route, status), bodies in sorted(
        got.items(), key=lambda one: (one[0][0].partition(" ")[::-1], one[0][1])
    ):
        entry = routes.setdefault(route, {"answers": {}})
        entry["answers"][status] = {"schema": shapes.of(bodies), "example": example(bodies)}
        if sent[route]:
            entry["body"] = example(sent[route])
    return {"components": shapes.named(), "routes": routes}


def widened(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    """Return a schema that fits whatever one of two fits. Empty ones fit anything."""
    if old == new or not old or not new:
        return old if old == new else {}
    if not {"type"} <= old.keys() & new.keys():
        return {"anyOf": [old, new]}
    kinds = sorted({*_listed(old["type"]), *_listed(new["type"])})
    found: dict[str, Any] = {"type": kinds[0] if len(kinds) == 1 else kinds}
    for name in ("format", "enum"):
        told = {str(one.get(name)) for one in (old, new) if "string" in _listed(one["type"])}
        if len(told) == 1 and (name in old or name in new):
            found[name] = old.get(name, new.get(name))
    if "required" in old and "required" in new:
        found["required"] = [name for name in old["required"] if name in new["required"]]
    if "properties" in old or "properties" in new:
        found["properties"] = joined(old.get("properties", {}), new.get("properties", {}))
    for name in ("items", "additionalProperties"):
        if name in old or name in new:
            found[name] = widened(old.get(name, new.get(name)), new.get(name, old.get(name)))
    return found


def loosened(schema: Any) -> Any:
    """Return a schema where what was null in every answer may be anything: nobody knows yet what it holds else."""
    if isinstance(schema, list):
        return [loosened(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    return {} if schema == {"type": "null"} else {name: loosened(one) for name, one in schema.items()}


def _listed(kinds: str | list[str]) -> list[str]:
    return [kinds] if isinstance(kinds, str) else kinds


def joined(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    """Return schemas by name; those that both have are widened."""
    return old | {name: widened(old[name], one) if name in old else one for name, one in new.items()}


def added(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    """Return the content of the file with what new notes tell besides. Examples that are there stay."""
    routes = dict(old["routes"])
    for route, entry in new["routes"].items():
        known = routes.get(route, {"answers": {}})
        found = {
            status: {
                "schema": loosened(widened(known["answers"].get(status, one)["schema"], one["schema"])),
                "example": known["answers"].get(status, one)["example"],
            }
            for status, one in entry["answers"].items()
        }
        routes[route] = {**entry, **known, "answers": known["answers"] | found}
    in_order = sorted(routes, key=lambda route: route.partition(" ")[::-1])
    return {
        "components": loosened(joined(old["components"], new["components"])),
        "routes": {route: routes[route] for route in in_order},
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    notes = parser.parse_args().folder.glob("*.jsonl")
    lines = [json.loads(line) for file in notes for line in file.read_text(encoding="utf-8").splitlines()]
    known = json.loads(TARGET.read_text(encoding="utf-8"))
    found = added(known, answers(lines))
    TARGET.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
