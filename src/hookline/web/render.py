"""Templates and static files: HTML with everything escaped, assets under names that change with their content."""

from __future__ import annotations

import gzip
import hashlib
import json
import mimetypes
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import jinja2
import msgspec
from markupsafe import Markup, escape

from hookline import __version__
from hookline.web.forms import is_at

if TYPE_CHECKING:
    from collections.abc import Mapping

_HERE: Final = Path(__file__).parent
STATIC_PREFIX: Final = "/ui/static/"


class Asset(msgspec.Struct, frozen=True):
    """A static file. url: with a digest of its content in it, so that it may be kept for ever."""

    url: str
    body: bytes
    zipped: bytes
    content_type: str


def read_assets() -> dict[str, Asset]:
    """Every static file, by its name below ``static/``."""
    found = {}
    for path in sorted((_HERE / "static").rglob("*")):
        if not path.is_file():
            continue
        body = path.read_bytes()
        name = path.relative_to(_HERE / "static").as_posix()
        if path.suffix == ".css":
            body = _squeezed(body)
        elif path.suffix == ".js" and not name.startswith("vendor/"):
            body = _without_remarks(body)
        kind = mimetypes.guess_type(name)[0] or "text/plain"
        found[name] = Asset(
            url=f"{STATIC_PREFIX}{hashlib.sha256(body).hexdigest()[:12]}/{name}",
            body=body,
            zipped=gzip.compress(body, mtime=0),
            content_type=f"{kind}; charset=utf-8" if kind.startswith("text/") else kind,
        )
    return found


def _squeezed(sheet: bytes) -> bytes:
    """A style sheet without its comments and indentation, which no browser needs."""
    return re.sub(rb"\s*\n\s*", b"\n", re.sub(rb"/\*.*?\*/", b"", sheet, flags=re.DOTALL)).strip()


def _without_remarks(script: bytes) -> bytes:
    """A script of ours without the lines that are comments, and without indentation: none of its texts spans lines."""
    return re.sub(rb"^[ \t]*(//[^\n]*)?\n?", b"", script, flags=re.MULTILINE)


class Renderer:
    """Makes HTML. One per process."""

    def __init__(self, assets: Mapping[str, Asset]) -> None:
        self._environment = environment = jinja2.Environment(
            loader=jinja2.FileSystemLoader(_HERE / "templates"),
            autoescape=True,
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
        )
        environment.filters |= {
            "ms": duration,
            "day": day,
            "ago": ago,
            "clock": clock,
            "pretty": pretty,
            "unfolded": unfolded,
            "compact": compact,
            "count": count,
            "short": short,
            "bytes": size,
            "dotted": dotted,
        }
        environment.globals |= {
            "asset": lambda name: assets[name].url,
            "version": __version__,
            "tone": tone,
            "is_at": is_at,
        }

    def __repr__(self) -> str:
        return "Renderer()"

    def page(self, template: str, context: Mapping[str, Any]) -> str:
        return self._environment.get_template(template).render(context)

    def block(self, template: str, name: str, context: Mapping[str, Any]) -> str:
        """One block of a page: what its live part says now."""
        found = self._environment.get_template(template)
        return "".join(found.blocks[name](found.new_context(dict(context))))


_NONE: Final = "\N{EN DASH}"
_JOIN: Final = "\N{NO-BREAK SPACE}"


# --- how values read ----------------------------------------------------------------------------------------

_TONES: Final = {
    **dict.fromkeys(
        ("succeeded", "success", "sent", "delivered", "active", "completed", "accepted", "resolved"), "good"
    ),
    **dict.fromkeys(("running", "in_flight", "pending", "queued", "deploying", "open", "batched"), "busy"),
    **dict.fromkeys(("waiting", "held", "paused", "filtered", "no_match"), "calm"),
    **dict.fromkeys(
        (
            "failed",
            "exhausted",
            "disabled",
            "killed",
            "timed_out",
            "lost",
            "refused",
            "cancelled",
            "revoked",
            "http_error",
        ),
        "bad",
    ),
}


def tone(state: str | None) -> str:
    """The colour class of a state: good, busy, calm or bad. The word itself is always shown, too."""
    return _TONES.get(str(state), "calm")


def duration(ms: float | None) -> str:
    """Milliseconds as people say them: ``12 ms``, ``1.4 s``, ``2 min 5 s``, ``3 h 20 min``; a dash for None.

    The number and its unit stay on one line.
    """
    if ms is None:
        return _NONE
    if ms < 1_000:
        return f"{ms:.0f}{_JOIN}ms"
    if ms < 60_000:
        return f"{ms / 1000:.1f}{_JOIN}s"
    larger, smaller = divmod(round(ms / 1000), 60)
    units = "min", "s"
    if larger >= 60:
        larger, smaller = divmod(larger, 60)
        units = "h", "min"
    return f"{larger}{_JOIN}{units[0]}" + (f" {smaller}{_JOIN}{units[1]}" if smaller else "")


def clock(at: str | None) -> str:
    """The time of day of an RFC 3339 instant, to the second."""
    return at[11:19] if at else _NONE


def day(at: str | None) -> str:
    """Date and time of an RFC 3339 instant, in UTC."""
    return datetime.fromisoformat(at).strftime("%Y-%m-%d %H:%M:%S") if at else _NONE


def ago(at: str) -> str:
    """How long ago an RFC 3339 instant was, or until it comes, to one unit: ``3 min ago``; a week off, the day.

    Not to the second, so that a page that is kept up to date does not read differently each second: where scripts run,
    they tell it exactly.
    """
    then = datetime.fromisoformat(at)
    seconds = (datetime.now(UTC) - then).total_seconds()
    if abs(seconds) < 60:
        return "just now" if seconds >= 0 else "in a moment"
    for length, unit in ((3_600, "min"), (86_400, "h"), (604_800, "d")):
        if abs(seconds) < length:
            number = f"{abs(seconds) // (length // _PER[unit]):.0f} {unit}"
            return f"{number} ago" if seconds > 0 else f"in {number}"
    return then.strftime("%Y-%m-%d")


_PER: Final = {"min": 60, "h": 24, "d": 7}
"""How many of a unit make the next."""


def size(value: float) -> str:
    """A number of bytes as people say it: ``512 B``, ``20 kB``, ``1.4 MB``."""
    unit = "B"
    for larger in ("kB", "MB", "GB"):
        if value < 1_000:
            break
        value, unit = value / 1_000, larger
    return f"{value:.1f} {unit}" if value < 10 and unit != "B" else f"{value:.0f} {unit}"


def dotted(text: str) -> Markup:
    """A type of events, that breaks after its dots where a line ends."""
    return escape(text).replace(".", Markup(".<wbr>"))


def count(value: float | None) -> str:
    """A number with thin spaces between thousands."""
    return _NONE if value is None else f"{value:,.0f}".replace(",", "\N{NARROW NO-BREAK SPACE}")


def short(id_: str) -> str:
    """An id for a narrow column: its kind and the end that tells it from its neighbours."""
    word, _, rest = id_.partition("_")
    return f"{word}_\N{HORIZONTAL ELLIPSIS}{rest[-8:]}" if len(rest) > 14 else id_


def pretty(value: Any) -> str:
    """JSON for people; text as it is."""
    if value is None:
        return "null"
    return value if isinstance(value, str) else json.dumps(value, indent=2, ensure_ascii=False)


def compact(value: Any) -> str:
    """JSON on one line."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def unfolded(text: str) -> str:
    """A text, over several lines where it is JSON."""
    try:
        return pretty(json.loads(text))
    except ValueError:
        return text
