"""Add a parameter to a URL, or take one out of it, without touching any other byte.

A URL library would write ``%2f`` as ``%2F`` or ``%41`` as ``A``, and a receiver that compares its secret with the bytes
it got would refuse us (SEEDS PB-8). Here a URL stays text: nothing is decoded but for the comparison of names.
"""

from __future__ import annotations

from urllib.parse import unquote


def add_parameter(url: str, item: str) -> str:
    """Return the URL with one more parameter at the end of its query. item: ``name=value`` as it goes on the wire."""
    address, hash_, fragment = url.partition("#")
    joint = "?" if "?" not in address else "" if address[-1] in "?&" else "&"
    return f"{address}{joint}{item}{hash_}{fragment}"


def drop_parameter(url: str, name: str) -> str:
    """Return the URL without the parameters of that name, however their names are percent-encoded."""
    address, hash_, fragment = url.partition("#")
    path, question, query = address.partition("?")
    if not question:
        return url
    kept = "&".join([item for item in query.split("&") if _name_of(item) != name])
    return f"{path}{question if kept else ''}{kept}{hash_}{fragment}"


def _name_of(item: str) -> str:
    return unquote(item.partition("=")[0])
