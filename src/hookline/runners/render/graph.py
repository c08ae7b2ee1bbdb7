"""Draw a movie: from a checked ``Movie`` to the filter graph that FFmpeg runs. Pure.

Every word of the graph is written here: numbers are printed anew, texts are read from files (``textfile=``, with
expansion off), fonts and media have names of ours. Nothing that a user wrote is ever part of it, so there is nothing
to escape.

Pictures are counted, not timed: scene n ends with picture ``round(end · fps)``, so a hundred scenes do not drift.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import accumulate
from typing import TYPE_CHECKING, Final

import msgspec

from hookline.core.movie import fade_of, shown_seconds, transition_of
from hookline.core.movie.colours import colour_of
from hookline.core.movie.definition import Audio, Image, Point, Shape, Text, Video

if TYPE_CHECKING:
    from hookline.core.movie.definition import AnyElement, FullSize, Movie, Scene, Size, Transition
    from hookline.runners.render.files import MediaFile

_TEXT_MARGIN: Final = 0.05
"""Between a text at an edge and that edge, as a share of the picture."""

_SOUND: Final = "aformat=sample_fmts=fltp:sample_rates=48000:channel_layouts=stereo"


class Graph(msgspec.Struct, frozen=True, kw_only=True):
    """text: for ``-filter_complex``, with the outputs ``[v]`` and, when has_sound, ``[a]``.

    frames: pictures of the whole movie.  texts: content of each text file by its name.
    """

    text: str
    frames: int
    has_sound: bool
    texts: Mapping[str, str]


def draw(movie: Movie, media: Mapping[str, MediaFile], fonts: Mapping[str, str]) -> Graph:
    """Return the graph. media: by path of the element, in the order of FFmpeg's inputs.  fonts: name of the font's
    file by path of each text.
    """
    return _Drawing(movie, media, fonts).graph()


def frame_counts(movie: Movie) -> list[int]:
    """How many pictures each scene has, at least one."""
    ends = [round(end * movie.fps) for end in accumulate(scene.duration for scene in movie.scenes)]
    return [max(1, end - start) for start, end in zip([0, *ends], ends, strict=False)]


class _Drawing:
    def __init__(self, movie: Movie, media: Mapping[str, MediaFile], fonts: Mapping[str, str]) -> None:
        self._movie = movie
        self._media = media
        self._inputs = {path: number for number, path in enumerate(media)}
        self._fonts = fonts
        self._texts: dict[str, str] = {}
        self._chains: list[str] = []
        self._sounds: list[str] = []
        self._labels = 0

    def graph(self) -> Graph:
        counts = frame_counts(self._movie)
        drawn = [
            self._scene(scene, number, count)
            for number, (scene, count) in enumerate(zip(self._movie.scenes, counts, strict=True))
        ]
        whole = self._joined(drawn, counts)
        self._add(f"[{whole}]trim=end_frame={sum(counts)},format=yuv420p[v]")
        self._mix(sum(counts))
        return Graph(
            text=";".join(self._chains), frames=sum(counts), has_sound=bool(self._sounds), texts=self._texts
        )

    def _add(self, chain: str) -> None:
        self._chains.append(chain)

    def _label(self) -> str:
        self._labels += 1
        return f"n{self._labels}"

    # --- scenes -------------------------------------------------------------------------------------------

    def _scene(self, scene: Scene, number: int, count: int) -> str:
        """Draw one scene; return its label."""
        movie = self._movie
        background = colour_of(scene.background or movie.background)
        below = self._label()
        self._add(
            f"color=c=0x{background.rgb}:s={movie.width}x{movie.height}:r={movie.fps},"
            f"trim=end_frame={count},format=yuv420p[{below}]"
        )
        begins_at = sum(frame_counts(movie)[:number]) / movie.fps
        for place, element in enumerate(scene.elements):
            path = f"scenes.{number}.elements.{place}"
            seconds = shown_seconds(scene, element)
            if isinstance(element, Text):
                below = self._write(element, path, below, seconds)
            elif isinstance(element, Shape):
                below = self._place(element, self._shape(element, seconds), below)
            elif isinstance(element, Image | Video):
                below = self._place(element, self._picture(element, path, seconds), below)
            if isinstance(element, Video | Audio):
                self._hear(element, path, begins_at, seconds)
        return below

    def _joined(self, drawn: list[str], counts: list[int]) -> str:
        """Put the scenes one after the other; return the label of the whole."""
        transitions = [transition_of(scene) for scene in self._movie.scenes]
        whole, frames = drawn[0], counts[0]
        if transitions[0] is not None:
            faded = self._label()
            self._add(f"[{whole}]fade=t=in:st=0:d={_number(transitions[0].duration)}[{faded}]")
            whole = faded
        cuts = [whole]
        for label, count, transition in zip(drawn[1:], counts[1:], transitions[1:], strict=True):
            if transition is None:
                cuts.append(label)
            else:
                cuts = [self._taken_over(self._concatenated(cuts), frames, label, transition)]
            frames += count
        return self._concatenated(cuts)

    def _concatenated(self, labels: list[str]) -> str:
        if len(labels) == 1:
            return labels[0]
        whole = self._label()
        inputs = "".join(f"[{label}]" for label in labels)
        self._add(f"{inputs}concat=n={len(labels)}:v=1:a=0[{whole}]")
        return whole

    def _taken_over(self, before: str, frames: int, label: str, transition: Transition) -> str:
        """The last picture before it stays until the new scene has taken over: the length is the sum of all."""
        fps, seconds = self._movie.fps, _number(transition.duration)
        old, new, whole = self._label(), self._label(), self._label()
        self._add(f"[{before}]tpad=stop_mode=clone:stop_duration={seconds},fps={fps},settb=AVTB[{old}]")
        self._add(f"[{label}]fps={fps},settb=AVTB[{new}]")
        self._add(
            f"[{old}][{new}]xfade=transition={transition.type}:duration={seconds}"
            f":offset={_number(frames / fps)}[{whole}]"
        )
        return whole

    # --- elements that are seen -----------------------------------------------------------------------------

    def _write(self, element: Text, path: str, below: str, seconds: float) -> str:
        name = f"{path}.txt"
        self._texts[name] = _printable(element.text)
        colour = colour_of(element.color)
        x, y = self._corner(element.position, ("w", "h"), ("text_w", "text_h"), _TEXT_MARGIN)
        above = self._label()
        self._add(
            f"[{below}]drawtext=fontfile={self._fonts[path]}:textfile={name}:expansion=none"
            f":fontsize={_number(element.font_size)}:fontcolor=0x{colour.rgb}:x={x}:y={y}"
            f":alpha='{_visibility(element, seconds, colour.alpha)}'"
            f":enable='between(t,{_number(element.start)},{_number(element.start + seconds)})'[{above}]"
        )
        return above

    def _shape(self, element: Shape, seconds: float) -> str:
        movie = self._movie
        width, height = _measured(element.size, movie)
        colour = colour_of(element.color)
        chain = f"color=c=0x{colour.rgb}:s={width}x{height}:r={movie.fps},trim=end_frame=1,format=rgba"
        if element.shape == "ellipse":
            inside = "lte(pow((X+0.5)/W*2-1,2)+pow((Y+0.5)/H*2-1,2),1)"
            chain += f",geq=r='r(X,Y)':g='g(X,Y)':b='b(X,Y)':a='255*{inside}'"
        return self._shown(chain, element, seconds, opacity=element.opacity * colour.alpha, is_still=True)

    def _picture(self, element: Image | Video, path: str, seconds: float) -> str:
        file, movie = self._media[path], self._movie
        # An image stays what its first picture shows, whatever its file has besides.
        is_still = isinstance(element, Image) or file.format.is_picture
        chain = f"[{self._inputs[path]}:v:0]"
        if is_still:
            chain += "trim=end_frame=1,"
        else:
            chain += f"setpts=PTS-STARTPTS,fps={movie.fps},trim=duration={_number(seconds)},"
            seconds = seconds if file.seconds is None else min(seconds, file.seconds)
        chain += f"{self._scaled(element)},setsar=1,format=rgba"
        return self._shown(chain, element, seconds, opacity=element.opacity, is_still=is_still)

    def _scaled(self, element: Image | Video) -> str:
        """The filters that give a picture its size."""
        movie, size = self._movie, element.size
        if size is None or (size.width is None and size.height is None):
            return (
                f"scale=w='min(iw,{movie.width})':h='min(ih,{movie.height})'"
                ":force_original_aspect_ratio=decrease"
            )
        width = -1 if size.width is None else _pixels(size.width, movie.width)
        height = -1 if size.height is None else _pixels(size.height, movie.height)
        scaled = f"scale=w={width}:h={height}"
        if -1 in (width, height) or element.fit == "fill":
            return scaled
        if element.fit == "contain":
            return f"{scaled}:force_original_aspect_ratio=decrease"
        return f"{scaled}:force_original_aspect_ratio=increase,crop={width}:{height}"

    def _shown(
        self, chain: str, element: AnyElement, seconds: float, *, opacity: float, is_still: bool
    ) -> str:
        """Give a picture its opacity, its time and its fades; return its label."""
        label, fps, fade = self._label(), self._movie.fps, fade_of(element)
        if opacity < 1:
            chain += f",colorchannelmixer=aa={_number(opacity)}"
        if is_still:
            frames = max(1, round(seconds * fps))
            chain += f",loop=loop={frames}:size=1:start=0,trim=end_frame={frames},setpts=N/({fps}*TB)"
        if fade.in_:
            chain += f",fade=t=in:st=0:d={_number(fade.in_)}:alpha=1"
        if fade.out:
            chain += f",fade=t=out:st={_number(max(0.0, seconds - fade.out))}:d={_number(fade.out)}:alpha=1"
        self._add(f"{chain},setpts=PTS+{_number(element.start)}/TB[{label}]")
        return label

    def _place(self, element: Image | Video | Shape, label: str, below: str) -> str:
        x, y = self._corner(element.position, ("W", "H"), ("w", "h"), 0)
        above = self._label()
        self._add(
            f"[{below}][{label}]overlay=x={x}:y={y}:eof_action=pass:format=auto,format=yuv420p[{above}]"
        )
        return above

    def _corner(
        self, position: str | Point, outer: tuple[str, str], inner: tuple[str, str], margin: float
    ) -> tuple[str, str]:
        """Where the upper left corner is. outer, inner: what the filter calls the sizes of picture and element."""
        if isinstance(position, Point):
            movie = self._movie
            return str(_offset(position.x, movie.width)), str(_offset(position.y, movie.height))
        words = position.split("-")
        free_x, free_y = (f"({whole}-{own})" for whole, own in zip(outer, inner, strict=True))
        space = f"{_number(margin)}*{outer[1]}"
        x = {"left": space, "right": f"{free_x}-{space}"}
        y = {"top": space, "bottom": f"{free_y}-{space}"}
        return (
            next((x[word] for word in words if word in x), f"{free_x}/2"),
            next((y[word] for word in words if word in y), f"{free_y}/2"),
        )

    # --- elements that are heard ----------------------------------------------------------------------------

    def _hear(self, element: Video | Audio, path: str, scene_begins_at: float, seconds: float) -> None:
        file = self._media[path]
        if not file.has_sound or element.volume == 0:
            return
        if file.seconds is not None:
            seconds = min(seconds, file.seconds)
        label, fade = self._label(), fade_of(element)
        delay = round((scene_begins_at + element.start) * 1000)
        chain = (
            f"[{self._inputs[path]}:a:0]atrim=duration={_number(seconds)},asetpts=PTS-STARTPTS,{_SOUND}"
            f",volume={_number(element.volume)}"
        )
        if fade.in_:
            chain += f",afade=t=in:st=0:d={_number(fade.in_)}"
        if fade.out:
            chain += f",afade=t=out:st={_number(max(0.0, seconds - fade.out))}:d={_number(fade.out)}"
        self._add(f"{chain},adelay={delay}:all=1[{label}]")
        self._sounds.append(label)

    def _mix(self, frames: int) -> None:
        if not self._sounds:
            return
        inputs = "".join(f"[{label}]" for label in self._sounds)
        mixed = (
            f"amix=inputs={len(self._sounds)}:normalize=0:duration=longest," if len(self._sounds) > 1 else ""
        )
        seconds = _number(frames / self._movie.fps)
        # Silence up to the end and no more: endless silence, cut off behind, can keep FFmpeg from the pictures.
        self._add(f"{inputs}{mixed}apad=whole_dur={seconds},atrim=duration={seconds}[a]")


# --- numbers and texts --------------------------------------------------------------------------------------


def _number(value: float) -> str:
    """A number as FFmpeg reads it: no exponent, no sign of a locale."""
    return f"{value:.6f}".rstrip("0").rstrip(".") or "0"


def _offset(value: float | str, whole: int) -> int:
    """Pixels, or percent of the whole, as whole pixels."""
    return round(float(value[:-1]) / 100 * whole) if isinstance(value, str) else round(value)


def _pixels(value: float | str, whole: int) -> int:
    """A size: at least one pixel, and not beyond what the schema allows a number to be."""
    return min(8192, max(1, _offset(value, whole)))


def _measured(size: FullSize | Size, movie: Movie) -> tuple[int, int]:
    assert size.width is not None
    assert size.height is not None
    return _pixels(size.width, movie.width), _pixels(size.height, movie.height)


def _visibility(element: Text, seconds: float, alpha: float) -> str:
    """How opaque a text is at the time t of its scene, as an expression."""
    fade, start = fade_of(element), element.start
    opaque = _number(element.opacity * alpha)
    shown = opaque
    if fade.out:
        end = start + seconds
        shown = f"{opaque}*clip(({_number(end)}-t)/{_number(fade.out)},0,1)"
    if fade.in_:
        shown = f"{shown}*clip((t-{_number(start)})/{_number(fade.in_)},0,1)"
    return shown


def _printable(text: str) -> str:
    """A text as it is drawn: lines stay, tabs are blanks, other control characters are not there."""
    text = text.replace("\r\n", "\n").replace("\r", "\n").replace("\t", "    ")
    return "".join(char for char in text if char == "\n" or (ord(char) >= 32 and ord(char) != 127))
