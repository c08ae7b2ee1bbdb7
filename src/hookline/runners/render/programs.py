"""Where FFmpeg and a font are on this machine, and whether they can do what renders need."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
from functools import lru_cache
from pathlib import Path
from typing import Final

import msgspec

HOW_TO_GET: Final = "pip install 'hookline[render]', or install ffmpeg and name it in HOOKLINE_FFMPEG"
HOW_TO_GET_FONTS: Final = "pip install 'hookline[render]', or name a font file in HOOKLINE_FONT"

FONT_FOLDERS: Final = ("/usr/share/fonts", "/usr/local/share/fonts", "/Library/Fonts")
_DEFAULT_FONTS: Final = ("NotoSans-Regular", "DejaVuSans", "LiberationSans-Regular", "FreeSans")
_SUFFIXES: Final = frozenset({".ttf", ".otf", ".ttc"})
_SEPARATORS: Final = re.compile(r"[ ._-]+")
_NEEDED: Final = {
    "-filters": ("drawtext", "overlay", "xfade", "amix", "loop", "geq"),
    "-encoders": ("libx264", "aac"),
}


class Choice(msgspec.Struct, frozen=True):
    """An FFmpeg. place: None when there is none.  lack: why it is of no use here, None when it is of use."""

    place: str | None
    lack: str | None


class Programs(msgspec.Struct, frozen=True, kw_only=True):
    """What the operator named, None for what is found: ``HOOKLINE_FFMPEG`` and ``HOOKLINE_FONT``."""

    ffmpeg: str | None = None
    font: str | None = None

    def choose_ffmpeg(self) -> Choice:
        """Return the operator's FFmpeg or, when none is named, the first of the system's and the extra's that can do
        what renders need: some systems' are built without fonts. Runs them, so it is nothing for the hot path.
        """
        places = (
            [shutil.which("ffmpeg"), _packaged_ffmpeg()]
            if self.ffmpeg is None
            else [shutil.which(self.ffmpeg)]
        )
        choice = Choice(None, "it was not found")
        for place in places:
            if place is not None:
                choice = Choice(place, lacking(place))
                if choice.lack is None:
                    break
        return choice

    def find_font(self, family: str | None) -> Path | None:
        """The file of a font by its name, or the default one for None; None when there is none."""
        if family is not None:
            return _installed_fonts().get(_plain(family)) or _installed_fonts().get(
                _plain(family + " Regular")
            )
        if self.font is not None:
            return Path(self.font) if Path(self.font).is_file() else None
        installed = _installed_fonts()
        return _packaged_font() or next(
            (installed[_plain(name)] for name in _DEFAULT_FONTS if _plain(name) in installed), None
        )


def _packaged_ffmpeg() -> str | None:
    if importlib.util.find_spec("imageio_ffmpeg") is None:
        return None
    import imageio_ffmpeg

    try:
        return str(imageio_ffmpeg.get_ffmpeg_exe())
    except RuntimeError:
        return None


def _packaged_font() -> Path | None:
    """The font of the extra. Its file is found without importing anything of it."""
    spec = importlib.util.find_spec("fontpkg_noto_sans")
    for place in () if spec is None else spec.submodule_search_locations or ():
        for file in sorted((Path(place) / "files").glob("NotoSans[[]*.ttf")):
            return file
    return None


@lru_cache(maxsize=1)
def _installed_fonts() -> dict[str, Path]:
    """Every font file of the machine by its plain name."""
    fonts: dict[str, Path] = {}
    for folder in FONT_FOLDERS:
        for place, _, names in os.walk(folder):
            for name in sorted(names):
                file = Path(place, name)
                if file.suffix.lower() in _SUFFIXES:
                    fonts.setdefault(_plain(file.stem), file)
    return fonts


def _plain(name: str) -> str:
    return _SEPARATORS.sub("", name).casefold()


def lacking(ffmpeg: str) -> str | None:
    """Say what this FFmpeg cannot do that renders need; None when it can do all."""
    for asked, names in _NEEDED.items():
        try:
            said = subprocess.run(  # noqa: S603 -- the operator's own program, no shell
                [ffmpeg, "-nostdin", "-hide_banner", asked],
                check=True,
                capture_output=True,
                timeout=20,
                stdin=subprocess.DEVNULL,
            ).stdout.decode("utf-8", "replace")
        except (OSError, subprocess.SubprocessError) as exc:
            return f"it does not run: {exc}"
        words = set(said.split())
        missing = [name for name in names if name not in words]
        if missing:
            return f"it was built without {', '.join(missing)}"
    return None
