"""Turn what user code returns or raises into JSON text and failures, and JSON text into values.

Strict where a value must come back the same (results, steps, events), lenient for log fields, which must
never end a run. Loaded into every child process.
"""

from __future__ import annotations

import json
from base64 import b64encode
from typing import Any, Final

import msgspec

from hookline.core.octets import unwrapped
from hookline.errors import ModelFailedError
from hookline.model.executions import Failure

MAX_MESSAGE: Final = 8 * 1024
"""Characters of a failure's message; the stack gets the rest of 64 KiB."""
MAX_STACK: Final = 56 * 1024

_encoder: Final = json.JSONEncoder(allow_nan=False, ensure_ascii=False, separators=(",", ":"))


def encode(value: Any, what: str) -> bytes:
    """Return the value as JSON text. what: names it in the error.

    Raises TypeError for what JSON has no word for (dates, sets, bytes, objects), ValueError for NaN,
    infinities, values that contain themselves or are too deep, and text that is not Unicode.
    """
    try:
        return _encoder.encode(value).encode()
    except TypeError as exc:
        raise TypeError(f"{what} is not JSON: {exc}") from None
    except RecursionError:
        raise ValueError(f"{what} is not JSON: it is nested too deeply") from None
    except UnicodeEncodeError:
        raise ValueError(f"{what} is not JSON: it holds text that is not valid Unicode") from None
    except ValueError as exc:
        raise ValueError(f"{what} is not JSON: {exc}") from None


def encode_result(value: Any) -> bytes:
    """Return what a run returned as JSON text. Bytes, alone or as ``data`` beside a ``content_type``, become
    ``{"$base64": …}``, the form in which bytes travel as JSON everywhere here.

    Raises TypeError or ValueError for anything else that JSON has no word for.
    """
    if isinstance(value, bytes | bytearray):
        value = _as_base64(value)
    elif isinstance(value, dict) and isinstance(value.get("data"), bytes | bytearray):
        value = value | {"data": _as_base64(value["data"])}
    return encode(value, "the return value")


def _as_base64(data: bytes | bytearray) -> dict[str, str]:
    return {"$base64": b64encode(data).decode("ascii")}


def encode_fields(fields: dict[str, Any]) -> bytes | None:
    """Return log fields as JSON text, with ``repr`` for values that JSON has no word for; None for none."""
    if not fields:
        return None
    try:
        return encode(fields, "fields")
    except (TypeError, ValueError):
        return encode({name: _shown(value) for name, value in fields.items()}, "fields")


def _shown(value: Any) -> Any:
    try:
        encode(value, "field")
    except (TypeError, ValueError):
        return clean(_safely(repr, value))
    return value


def decode(text: bytes | None) -> Any:
    """Return the value of JSON text; None for None."""
    if text is None:
        return None
    try:
        return msgspec.json.decode(text)
    except msgspec.MsgspecError:
        # Valid JSON that msgspec refuses: lone surrogates and numbers above 1e308.
        return json.loads(text)


def decode_trigger(text: bytes | None) -> dict[str, Any]:
    """Return what ``ctx.trigger`` shows, with bytes as bytes. A body without data has those of the raw body."""
    value = unwrapped(decode(text))
    if not isinstance(value, dict):
        return {}
    body, raw = value.get("body"), value.get("raw_body")
    if isinstance(body, dict) and isinstance(raw, dict) and "data" not in body:
        body["data"] = raw.get("data")
    return value


def clean(text: str) -> str:
    """Return the text with what UTF-8 cannot hold replaced."""
    return text.encode("utf-8", "replace").decode()


def _safely(function: Any, value: Any) -> str:
    try:
        return str(function(value))
    except Exception:  # noqa: BLE001 -- a user's __str__ may raise anything
        return f"<{type(value).__name__}>"


def failure(
    message: str, *, type_: str | None = None, stack: str | None = None, code: str = "FAILED"
) -> Failure:
    """Return a failure whose texts are cut to what may be stored."""
    return Failure(
        code=code,
        message=clean(message)[:MAX_MESSAGE],
        type=type_,
        stack=None if stack is None else clean(stack)[-MAX_STACK:],
    )


def failure_of(exc: BaseException) -> Failure:
    """Return why user code ended with this exception; the stack starts at the user's own frames."""
    if isinstance(exc, SystemExit):
        return failure(f"called sys.exit({_safely(repr, exc.code)})", type_="SystemExit", stack=_stack(exc))
    name = type(exc).__qualname__
    if isinstance(exc, ModelFailedError):  # ours, and all is said: no code of the user's had a part in it
        return failure(exc.message, type_=name, code=exc.code)
    return failure(_safely(str, exc) or name, type_=name, stack=_stack(exc))


def _stack(exc: BaseException) -> str:
    import traceback

    ours = __file__.rpartition("/runners/")[0]
    # What runs their code or takes their declarations, and what Python imports their file with.
    not_theirs = (
        f"{ours}/runners/",
        f"{ours}/context.py",
        f"{ours}/sdk.py",
        f"{ours}/flows.py",
        f"{ours}/handling.py",
        f"{ours}/model_agent/",
        "<frozen importlib",
    )
    told = traceback.TracebackException.from_exception(exc, limit=-100, compact=True)
    link: traceback.TracebackException | None = told
    while link is not None:
        kept = [place for place in link.stack if not place.filename.startswith(not_theirs)]
        link.stack = traceback.StackSummary.from_list(kept)
        link = link.__cause__ or link.__context__
    try:
        return "".join(told.format())
    except Exception:  # noqa: BLE001 -- formatting calls the user's __str__
        return "".join(told.stack.format())
