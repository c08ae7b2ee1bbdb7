"""The member of a request's body by which its caller says where the end is to be told.

It belongs to the request and not to what is run: code that takes any JSON may see it, but a movie or a robot's
parameters, where each member means something, are read without it.
"""

from __future__ import annotations

from typing import Final

import msgspec

FIELD: Final = "callback_url"

_read: Final = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


def without_callback(text: bytes) -> bytes:
    """Return the JSON text of an object without that member; any other text as it is."""
    try:
        members = _read(text)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return text  # for whoever reads it to say what is wrong
    if members.pop(FIELD, None) is None:
        return text
    return msgspec.json.encode(members)
