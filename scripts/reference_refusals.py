"""Read from the code which errors each route may answer: ``src/hookline/api/refusals.json``.

The code is read, not run. An error that a handler makes, or anything that it calls, is one that it may answer, unless
that stands in a ``try`` whose handler keeps it. A call is followed where its name leads to one function: through
imports, ``self``, the parts of a node by their declared types, and methods whose name only one class of the engine has.
What this misses would be a refusal that nobody documented, so tests of the API compare every answer that they get.
"""

from __future__ import annotations

import ast
import json
from collections import defaultdict
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from hookline.api.app import ROUTERS
from hookline.api.errors import is_job_path, job_code_of, status_of
from hookline.api.gate import needs_key
from hookline.errors import HooklineError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    Place = tuple[str, str]
    """A module, and a function or ``Class.method`` in it."""
    Escapes = set[tuple[type[HooklineError], str]]
    """Errors by class and code."""

TARGET: Final = Path(__file__).resolve().parent.parent / "src" / "hookline" / "api" / "refusals.json"
SOURCE: Final = Path(__file__).resolve().parent.parent / "src" / "hookline"
READ: Final = ("api", "core", "dialects", "engine", "errors", "model", "ports")
"""What a request passes. Stores, runners and senders raise what the seams in ``ports`` say, which is ``STORED``."""
SERVICES: Final = ("hookline.api.services", "Services")
NODE: Final = ("hookline.engine.node", "Node")

EVERY: Final = (("hookline.api.front", "check_path"),)
DOOR: Final = (("hookline.api.inbound", "Inbound.__init__"), ("hookline.api.inbound", "Budget.enter"))
KEYED: Final = (
    ("hookline.api.identity", "caller_of"),
    ("hookline.api.identity", "Caller.need"),
)
READ_BODY: Final = (
    ("hookline.api.inbound", "Inbound.body"),
    ("hookline.api.inbound", "Inbound.check_encoding"),
    ("hookline.core.canonical", "decode"),
)
WITH_BODY: Final = (
    *READ_BODY,
    ("hookline.api.inbound", "Inbound.check_json"),
    ("hookline.api.validation", "explain"),
)
QUERIED: Final = (("hookline.errors", "InputError"),)
POSTED: Final = (
    ("hookline.api.inbound", "idempotency_key"),
    ("hookline.api.remember", "answer_once"),
)
HOT: Final = {
    "POST /api/v1/events": (("hookline.api.publish", "publish"), *KEYED, *READ_BODY),
    "POST /webhooks/agents/{agent_id}": (("hookline.api.webhooks_in", "receive"), *READ_BODY),
    "POST /webhooks/workflows/{workflow_id}": (("hookline.api.webhooks_in", "receive"), *READ_BODY),
    "POST /trigger/{path_id}": (("hookline.api.trigger_in", "receive"), *READ_BODY),
    "GET /results/{profile}/{execution_id}": (("hookline.api.results", "result"),),
}
"""What runs for a hot route, behind the door."""
STORED: Final = (("hookline.errors", "StorageError"), ("hookline.errors", "LeaseLostError"))
"""What any use of the store may come to."""

SITE: Final = ("hookline.api.reply", "_site")
"""The dependency that gives a handler the node, and so the store."""

OF_THEIR_OWN: Final = {"RANGE_NOT_SATISFIABLE": 416}
"""Codes whose answers are not worded by the table of families."""
BESIDE: Final = {("POST /api/v1/conversations/{conversation_id}/messages", 409): "CONVERSATION_ENDED"}
"""What is found out only by what the store made of a write, whose kind one function refuses for all."""
UNSEEN: Final = frozenset({"CALLER_GONE", "INTERNAL", "PAYLOAD_GONE", "SEAL_BROKEN"})
"""Codes that are never an answer, and those of our own defects, which are 500 on every route."""


class Made(NamedTuple):
    """What one function does. errors: that it makes.  calls: what it calls.  Each with the classes that are kept."""

    errors: list[tuple[type[HooklineError], str, frozenset[type]]]
    calls: list[tuple[Place, frozenset[type]]]


class Code:
    """All modules of the package, and where names in them lead."""

    def __init__(self) -> None:
        self.functions: dict[Place, ast.AST] = {}
        self.classes: dict[Place, ast.ClassDef] = {}
        self._imports: dict[str, dict[str, Place]] = defaultdict(dict)
        self._methods: dict[str, set[Place]] = defaultdict(set)
        self._modules: set[str] = set()
        for path in SOURCE.rglob("*.py"):
            parts = path.relative_to(SOURCE).with_suffix("").parts
            if parts[0] in READ:
                module = ".".join(("hookline", *parts)).removesuffix(".__init__")
                self._read(module, ast.parse(path.read_text(encoding="utf-8")))
        self._parts = dict(self._parts_of_a_node())

    def _read(self, module: str, tree: ast.Module) -> None:
        self._modules.add(module)
        for imported in (node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)):
            for name in imported.names:
                self._imports[module][name.asname or name.name] = (str(imported.module), name.name)
        for node in tree.body:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                self.functions[module, node.name] = node
            elif isinstance(node, ast.Assign | ast.AnnAssign):  # such as a table of functions
                target = node.target if isinstance(node, ast.AnnAssign) else node.targets[0]
                if isinstance(target, ast.Name):
                    self.functions[module, target.id] = node
            elif isinstance(node, ast.ClassDef):
                self._read_class(module, node)

    def _read_class(self, module: str, node: ast.ClassDef) -> None:
        self.classes[module, node.name] = node
        for inner in node.body:
            if isinstance(inner, ast.FunctionDef | ast.AsyncFunctionDef):
                place = (module, f"{node.name}.{inner.name}")
                self.functions[place] = inner
                self._methods[inner.name].add(place)

    def _parts_of_a_node(self) -> Iterator[tuple[str, Place]]:
        for inner in self.classes[SERVICES].body:
            if isinstance(inner, ast.FunctionDef) and isinstance(inner.returns, ast.Name):
                found = self.find(SERVICES[0], inner.returns.id)
                if found is not None:
                    yield inner.name, found

    def find(self, module: str, name: str) -> Place | None:
        """Return what a name in a module means: a function or a class of ours, or ``("", module)``."""
        if (module, name) in self.functions or (module, name) in self.classes:
            return (module, name)
        target = self._imports[module].get(name)
        if target is None or target[0] not in self._modules or target == (module, name):
            return None
        inner = ".".join(target)
        return ("", inner) if inner in self._modules else self.find(*target)

    def led_to(self, of: Place, node: ast.AST, called: set[int]) -> Iterator[Place]:
        """The functions that a name or an attribute in a function means."""
        if isinstance(node, ast.Name):
            found = self.find(of[0], node.id)
            yield from self._run_by(found)
        elif isinstance(node, ast.Attribute):
            yield from self._attribute(of, node, is_called=id(node) in called)

    def _run_by(self, place: Place | None) -> Iterator[Place]:
        """A function itself, or what making an object of a class runs."""
        if place in self.functions:
            yield place
        elif place in self.classes:
            for name in ("__init__", "__post_init__"):
                if (place[0], f"{place[1]}.{name}") in self.functions:
                    yield (place[0], f"{place[1]}.{name}")

    def _attribute(self, of: Place, node: ast.Attribute, *, is_called: bool) -> Iterator[Place]:
        chain = [node.attr]
        value = node.value
        while isinstance(value, ast.Attribute):
            chain.insert(0, value.attr)
            value = value.value
        if isinstance(value, ast.Name):
            chain.insert(0, value.id)
        if (owner := self._owner(of, chain)) is not None:
            yield from self._run_by((owner[0], f"{owner[1]}.{chain[-1]}" if owner[1] else chain[-1]))
        elif is_called and "services" not in chain and len(self._methods[chain[-1]]) == 1:
            yield from self._methods[chain[-1]]

    def _owner(self, of: Place, chain: list[str]) -> Place | None:
        """The class, or the module (with an empty name), that the last attribute of a chain belongs to."""
        if "services" in chain[:-1]:
            rest = chain[chain.index("services") + 1 :]
            return NODE if len(rest) == 1 else self._parts.get(rest[0]) if len(rest) == 2 else None
        if len(chain) != 2:
            return None
        if chain[0] in {"self", "cls"}:
            owner = (of[0], of[1].partition(".")[0])
            return owner if (owner[0], f"{owner[1]}.{chain[1]}") in self.functions else None
        found = self.find(of[0], chain[0])
        if found is None:
            return None
        return (found[1], "") if found[0] == "" else found if found in self.classes else None


class Reader:
    """Says which errors leave a function."""

    def __init__(self) -> None:
        self._code = Code()
        self._caught: dict[Place, dict[str, Any]] = defaultdict(dict)
        self._made = {place: self._look(place) for place in self._code.functions}
        self._leaving: dict[Place, Escapes] = {place: set() for place in self._made}
        self._settle()

    def leaving(self, places: Iterable[Place]) -> Escapes:
        """Return the errors that leave any of these; a class of errors stands for itself."""
        found: Escapes = set()
        for module, name in places:
            if (module, name) in self._leaving:
                found |= self._leaving[module, name]
            else:
                error = getattr(import_module(module), name)
                found.add((error, error.code))
        return found

    def _settle(self) -> None:
        """Let errors climb from callee to caller until nothing moves."""
        callers: dict[Place, set[Place]] = defaultdict(set)
        for place, made in self._made.items():
            for callee, _ in made.calls:
                callers[callee].add(place)
        waiting = set(self._made)
        while waiting:
            place = waiting.pop()
            made = self._made[place]
            found = {(kind, code) for kind, code, kept in made.errors if not issubclass(kind, tuple(kept))}
            for callee, kept in made.calls:
                found |= {one for one in self._leaving[callee] if not issubclass(one[0], tuple(kept))}
            if found != self._leaving[place]:
                self._leaving[place] = found
                waiting |= callers[place]

    def _look(self, place: Place) -> Made:
        function = self._code.functions[place]
        called = {id(node.func) for node in ast.walk(function) if isinstance(node, ast.Call)}
        made = Made([], [])
        self._walk(place, function, frozenset(), called, made)
        return made

    def _walk(self, of: Place, node: ast.AST, kept: frozenset[type], called: set[int], made: Made) -> None:
        if isinstance(node, ast.Call) and (error := self._error(of, node)) is not None:
            made.errors.append((*error, kept))
        made.calls.extend((callee, kept) for callee in self._code.led_to(of, node, called))
        if isinstance(node, ast.Try):
            inside = kept.union(*(self._kept_by(of, handler) for handler in node.handlers))
            for child in node.body:
                self._walk(of, child, inside, called, made)
            for handler in node.handlers:
                if handler.name and (kind := self._class_of(of, handler.type)) is not None:
                    self._caught[of][handler.name] = kind
                self._walk(of, handler, kept, called, made)
            for child in (*node.orelse, *node.finalbody):
                self._walk(of, child, kept, called, made)
            return
        for child in ast.iter_child_nodes(node):
            self._walk(of, child, kept, called, made)

    def _error(self, of: Place, node: ast.Call) -> tuple[type[HooklineError], str] | None:
        """Return class and code of an error that a call makes; None when it makes none."""
        kind = self._class_of(of, node.func)
        if kind is None or not issubclass(kind, HooklineError):
            return None
        code = next((one.value for one in node.keywords if one.arg == "code"), None)
        if isinstance(code, ast.Constant):
            return kind, str(code.value)
        if isinstance(code, ast.Attribute) and isinstance(code.value, ast.Name):
            return kind, self._caught[of].get(code.value.id, kind).code
        return kind, kind.code

    def _kept_by(self, of: Place, handler: ast.ExceptHandler) -> set[type]:
        """Return the classes that a handler keeps: it neither raises them again nor makes an answer of them."""
        for node in ast.walk(handler):
            if isinstance(node, ast.Raise) and node.exc is None:
                return set()
            if isinstance(node, ast.Return | ast.Assign) and handler.name is not None:
                handed = node.value.args if isinstance(node.value, ast.Call) else [node.value]
                if any(isinstance(one, ast.Name) and one.id == handler.name for one in handed):
                    return set()
        kinds = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
        found = {self._class_of(of, one) if one is not None else BaseException for one in kinds}
        return {kind for kind in found if kind is not None}

    def _class_of(self, of: Place, node: ast.AST | None) -> type | None:
        """Return the exception that an expression names; None for anything else."""
        if not isinstance(node, ast.Name):
            return None
        found = self._code.find(of[0], node.id)
        if found is not None and found in self._code.classes:
            kind = getattr(import_module(found[0]), found[1])
            return kind if isinstance(kind, type) and issubclass(kind, BaseException) else None
        builtin = getattr(__import__("builtins"), node.id, None)
        return builtin if isinstance(builtin, type) and issubclass(builtin, BaseException) else None


def refusals() -> dict[str, dict[str, list[str]]]:
    """Return, for each ``METHOD path`` of the description, the statuses that refuse, with the codes of each."""
    reader = Reader()
    found = {}
    for name, places in _places().items():
        path = name.partition(" ")[2]
        by_status: dict[int, set[str]] = defaultdict(set)
        by_status[500].add("INTERNAL")
        for (route, status), code in BESIDE.items():
            if route == name:
                by_status[status].add(code)
        for kind, code in reader.leaving(places):
            error = kind.__new__(kind)
            error.code = code
            if code not in UNSEEN:
                status = OF_THEIR_OWN.get(code) or status_of(error)
                by_status[status].add(job_code_of(error) if is_job_path(path) else code)
        found[name] = {str(status): sorted(codes) for status, codes in sorted(by_status.items())}
    return dict(sorted(found.items(), key=lambda one: one[0].partition(" ")[::-1]))


def refusals_text() -> str:
    """Return the content of the file, one route a line."""
    lines = [f" {json.dumps(route)}: {json.dumps(by_status)}" for route, by_status in refusals().items()]
    return "{\n" + ",\n".join(lines) + "\n}\n"


def _places() -> dict[str, list[Place]]:
    """What runs for each route: its handler, what that depends on, and the gate before it."""
    found: dict[str, list[Place]] = {name: [*EVERY, *DOOR, *STORED, *places] for name, places in HOT.items()}
    for route in (route for router in ROUTERS for route in router.routes):
        if not hasattr(route, "dependant") or not route.include_in_schema:
            continue
        for method in route.methods - {"HEAD"}:
            parts = list(_of_dependant(route.dependant))
            places = [*EVERY, *parts, *(STORED if SITE in parts else ())]
            if needs_key(route.path):
                places += (*DOOR, *KEYED)
                places += WITH_BODY if method != "GET" else ()
                places += POSTED if method == "POST" else ()
            places += QUERIED if _has_query(route.dependant) else ()
            found[f"{method} {route.path}"] = places
    return found


def _has_query(dependant: Any) -> bool:
    return bool(dependant.query_params) or any(_has_query(one) for one in dependant.dependencies)


def _of_dependant(dependant: Any) -> Iterator[Place]:
    call = dependant.call
    function = call if hasattr(call, "__qualname__") else type(call).__call__
    name = f"{call.__qualname__}.__init__" if isinstance(call, type) else function.__qualname__
    yield (function.__module__, name)
    for one in dependant.dependencies:
        yield from _of_dependant(one)
