"""How things are named: 16-byte UUIDv7 keys inside, prefixed text at the edges.

A key is ``bytes`` everywhere in the program and in both stores, so indexes stay small and rows of one moment
stay together; the prefix exists only in what people and programs read (CONTRACT section 2).
"""

from __future__ import annotations

import re
import uuid
from typing import TYPE_CHECKING, Final

import uuid_utils

if TYPE_CHECKING:
    from datetime import datetime

Key = bytes
"""A UUIDv7, 16 bytes. Keys made in one process rise strictly."""

PREFIXES: Final = {
    "execution": "exec_",
    "event": "evt_",
    "webhook": "wh_",
    "delivery": "dlv_",
    "attempt": "att_",
    "trigger": "trg_",
    "log": "log_",
    "conversation": "conv_",
    "api_key": "key_",
    "organization": "org_",
    "member": "mem_",
    "instance": "inst_",
    "customer": "cus_",
    "request": "req_",
    "batch": "bat_",
    "replay": "rpl_",
    "alert": "alr_",
    "robot": "rob_",
    "script": "scr_",
    "template": "tpl_",
}
"""Object word to public prefix."""

OWN_EVENT_ID: Final = re.compile(r"[A-Za-z0-9._:-]{1,128}", re.ASCII)
"""What a publisher's own event id may look like (CONTRACT section 2)."""

_UUID_TEXT: Final = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.ASCII)


def new_key() -> Key:
    """Return a fresh key."""
    return uuid_utils.uuid7().bytes


def earliest(at: datetime) -> Key:
    """Return a key no later than any that is made from this instant on (RFC 9562 section 5.7)."""
    return max(0, int(at.timestamp() * 1000)).to_bytes(6) + bytes(10)


def bare(key: Key) -> str:
    """Return the key as a bare lower-case UUID: a render's ``job_id``, a robot's ``run_id``."""
    return str(uuid_utils.UUID(bytes=key))


def public(word: str, key: Key) -> str:
    """Return the public id of an object, such as ``exec_0190…``. word: a key of PREFIXES."""
    return PREFIXES[word] + bare(key)


def parse(word: str, text: str) -> Key | None:
    """Return the key inside a public id of that word; a bare UUID is taken too. None for anything else."""
    digits = text.removeprefix(PREFIXES[word])
    if _UUID_TEXT.fullmatch(digits) is None:
        return None
    return uuid.UUID(digits).bytes
