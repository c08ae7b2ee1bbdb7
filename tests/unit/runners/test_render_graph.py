"""The filter graph of a movie: nothing of the user's stands in it, and no picture is lost or gained (PF)."""

from __future__ import annotations

import re
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hookline.core.movie import element_paths, read_movie
from hookline.core.movie.definition import Text
from hookline.runners.render.command import probe_command, render_command
from hookline.runners.render.files import MediaFile, format_of
from hookline.runners.render.graph import draw, frame_counts
from hookline.runners.render.progress import ProgressReader, Streams, cause_of, streams_of

PNG = b"\x89PNG\r\n\x1a\n" + bytes(40)
MP4 = b"\0\0\0\x20ftypisom" + bytes(40)


def graph_of(movie: dict[str, Any], **media: MediaFile) -> Any:
    read = read_movie(msgspec.json.encode(movie))
    fonts = {path: "font-0.ttf" for path, _, one in element_paths(read) if isinstance(one, Text)}
    return draw(read, {one.path: one for one in media.values()}, fonts)


@given(st.text(min_size=1, max_size=80).filter(lambda text: text.isprintable()))
def test_a_text_never_stands_in_the_graph(text: str) -> None:
    """PROMISES section 2: payload as command."""
    movie = {"scenes": [{"duration": 1, "elements": [{"type": "text", "text": text}]}]}
    plain = {"scenes": [{"duration": 1, "elements": [{"type": "text", "text": "x"}]}]}

    graph = graph_of(movie)

    assert graph.text == graph_of(plain).text
    assert graph.texts == {"scenes.0.elements.0.txt": text}


def test_control_characters_are_not_drawn_and_lines_stay() -> None:
    text = "one\r\ntwo\rthree\tfour\x00\x07\x7f"
    movie = {"scenes": [{"duration": 1, "elements": [{"type": "text", "text": text}]}]}

    assert graph_of(movie).texts["scenes.0.elements.0.txt"] == "one\ntwo\nthree    four"


@given(st.lists(st.floats(0.01, 20), min_size=1, max_size=30), st.integers(1, 60))
def test_scenes_do_not_drift(durations: list[float], fps: int) -> None:
    """The pictures of all scenes are those of the whole, but for scenes shorter than one picture."""
    movie = read_movie(
        msgspec.json.encode({"fps": fps, "scenes": [{"duration": each} for each in durations]})
    )

    counts = frame_counts(movie)

    assert min(counts) >= 1
    assert round(movie.seconds * fps) <= sum(counts) <= round(movie.seconds * fps) + len(durations)


def test_files_are_opened_by_the_format_we_chose_and_through_no_protocol_but_files() -> None:
    """PROMISES section 2: FFmpeg's demuxers may open other files and addresses."""
    movie = read_movie(
        b'{"scenes":[{"duration":1,"elements":[{"type":"image","src":"https://a.example/x;rm"}]}]}'
    )
    picture = format_of(PNG)
    assert picture is not None
    file = MediaFile(path="scenes.0.elements.0", name="media-0", format=picture)
    graph = draw(movie, {file.path: file}, {})

    command = render_command("/bin/ffmpeg", movie, [file], graph)

    before = command[: command.index("-i")]
    assert command[command.index("-i") + 1] == "./media-0"
    assert before[before.index("-protocol_whitelist") + 1] == "file,pipe"
    assert before[before.index("-f") + 1] == "png_pipe"
    assert "-max_pixels" in before
    assert "-nostdin" in command
    assert not any("a.example" in argument for argument in command)
    assert "-f" in probe_command("/bin/ffmpeg", picture, "media-0")


@pytest.mark.parametrize(
    ("head", "demuxer"),
    [
        (PNG, "png_pipe"),
        (b"\xff\xd8\xff\xe0" + bytes(20), "jpeg_pipe"),
        (b"RIFF\0\0\0\0WEBPVP8 ", "webp_pipe"),
        (b"RIFF\0\0\0\0WAVEfmt ", "wav"),
        (b"GIF89a" + bytes(20), "gif"),
        (MP4, "mov"),
        (b"\x1a\x45\xdf\xa3" + bytes(20), "matroska"),
        (b"ID3\x04" + bytes(20), "mp3"),
        (b"\xff\xfb\x90\x64" + bytes(20), "mp3"),
        (b"\xff\xf1\x50\x80" + bytes(20), "aac"),
        (b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd", None),
        (b"ffconcat version 1.0\nfile /etc/passwd", None),
        (b"<svg xmlns='http://www.w3.org/2000/svg'>", None),
        (b"<MPD></MPD>", None),
        (b"", None),
    ],
)
def test_a_format_is_known_by_its_first_bytes_and_playlists_are_none(
    head: bytes, demuxer: str | None
) -> None:
    found = format_of(head)

    assert (None if found is None else found.demuxer) == demuxer


def test_every_chain_of_a_graph_has_a_label_that_is_used_once() -> None:
    words: dict[str, Any] = {"type": "text", "text": "x", "fade": 0.1}
    shape = {"type": "shape", "size": {"width": 5, "height": "10%"}, "shape": "ellipse", "opacity": 0.5}
    movie = {
        "scenes": [
            {"duration": 1, "transition": "fade", "elements": [words, shape]},
            {"duration": 1, "elements": [shape]},
            {"duration": 1, "transition": "dissolve"},
            {"duration": 1},
        ]
    }

    graph = graph_of(movie)

    labels = re.findall(r"\[(n\d+)\]", graph.text)
    assert graph.frames == 120
    assert {labels.count(label) for label in labels} == {2}


def test_progress_is_told_by_whole_reports() -> None:
    """PF-6: percent, frame and what is left."""
    reader = ProgressReader(100)

    assert reader.feed(b"frame=20\nfps=0\n", 1.0) is None
    first = reader.feed(b"progress=continue\nframe=5", 2.0)
    assert first is not None
    assert (first.percent, first.frame, first.eta_seconds) == (20.0, 20, 8.0)
    last = reader.feed(b"0\nprogress=continue\nframe=100\nprogress=end\n", 4.0)
    assert last is not None
    assert (last.percent, last.eta_seconds, reader.last_frame) == (100.0, 0.0, 100)


def test_the_cause_is_the_line_that_says_most_in_the_users_words() -> None:
    """PF-7: exit code and cause line reach the receiver."""
    said = (
        "[in#0 @ 0x55cc2d861240] [error] moov atom not found\n"
        "[in#0 @ 0x55cc2d860f00] [fatal] Error opening input: Invalid data found when processing input\n"
        "[fatal] Error opening input file ./media-0.\n"
    )

    assert cause_of(said, {}) == "moov atom not found"
    assert (
        cause_of("[error] ./media-0: bad\n", {"media-0": "scenes.0.elements.1"}) == "scenes.0.elements.1: bad"
    )
    assert cause_of("", {}) == "it gave no reason"


def test_streams_are_read_as_ffmpeg_words_them() -> None:
    said = (
        "[info] Input #0, mov,mp4, from './media-0':\n"
        "[info]   Duration: 00:01:02.50, start: 0.000000, bitrate: 19 kb/s\n"
        "[info]   Stream #0:0[0x1](und): Video: h264 (High) (avc1 / 0x31637661), yuv420p, 1280x720 [SAR 1:1]\n"
        "[info]   Stream #0:1[0x2](und): Audio: aac (LC), 48000 Hz, stereo, fltp\n"
    )

    assert streams_of(said) == Streams(True, True, 62.5)
    assert streams_of("[info]   Stream #0:0: Video: png, none, 25 fps\n") == Streams(False, False, None)
