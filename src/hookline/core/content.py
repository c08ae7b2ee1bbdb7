"""What a run's result is over HTTP: JSON, unless the result itself says that it is something else.

A result that is an object of exactly ``data`` and ``content_type`` is that data of that type; data is text, or bytes
in the form ``{"$base64": …}``, in which bytes travel as JSON everywhere here. Such bytes alone are octets. Any other
result is its JSON text, byte for byte as it is stored.
"""

from __future__ import annotations

import binascii
import re
from base64 import b64decode
from typing import Any, Final

import msgspec

JSON: Final = "application/json"
OCTETS: Final = "application/octet-stream"
_OWN: Final = re.compile(rb'\s*\{\s*"(?:data|content_type|\$base64)"')
_TYPE: Final = re.compile(r"[A-Za-z0-9!#$&^_.+-]+/[A-Za-z0-9!#$&^_.+-]+(?:[ -~]{0,200})?", re.ASCII)


class Content(msgspec.Struct, frozen=True):
    """body: the bytes to send.  type: a Content-Type. Never JSON's unless the body is the result's JSON text, or the
    result says so.
    """

    body: bytes
    type: str = JSON


def content_of(output: bytes | None) -> Content:
    """Return what a result is sent as. output: JSON text; None, of a run that returned nothing, is ``null``."""
    if output is None:
        return Content(b"null")
    # Only what begins like such an object is parsed: results can be large.
    if _OWN.match(output) is None:
        return Content(output)
    try:
        value = msgspec.json.decode(output)
    except ValueError:  # msgspec has several, and bad UTF-8 has its own
        return Content(output)
    own = _own(value)
    return Content(output) if own is None else own


def _own(value: Any) -> Content | None:
    if isinstance(value, dict) and value.keys() == {"data", "content_type"}:
        data, kind = value["data"], value["content_type"]
    else:
        data, kind = value, OCTETS
    if not isinstance(kind, str) or _TYPE.fullmatch(kind) is None:
        return None
    if isinstance(data, str):
        return Content(data.encode("utf-8", "surrogatepass"), kind)
    octets = octets_in(data)
    return None if octets is None else Content(octets, kind)


def as_returned(output: Any) -> Any:
    """Return a result as its function returned it, with bytes as bytes. output: the JSON value that is stored."""
    alone = octets_in(output)
    if alone is not None:
        return alone
    data = octets_in(output.get("data")) if isinstance(output, dict) else None
    return output if data is None else output | {"data": data}


def octets_in(value: Any) -> bytes | None:
    """Return the bytes that a JSON value stands for, None when it stands for none."""
    if not isinstance(value, dict) or value.keys() != {"$base64"} or not isinstance(value["$base64"], str):
        return None
    try:
        return b64decode(value["$base64"], validate=True)
    except (binascii.Error, ValueError):
        return None
