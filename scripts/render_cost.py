#!/usr/bin/env python3
"""Measure what a render job costs beside FFmpeg itself: the promise is at most 1.15 times the same command by hand.

A real server renders a movie of ten seconds, 1280x720, and the very command that it runs is run by hand in a folder
with the same files, in turns. Compared are the fastest of each, since noise only adds: the seconds from the request to
the end of the job and of the command, and beside them the processor's seconds of the whole server and of the command.

    python scripts/render_cost.py [--runs 7] [--json]
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import resource
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from hookline.core.movie import read_movie
from hookline.runners.render.command import render_command
from hookline.runners.render.graph import draw
from hookline.runners.render.programs import Programs
from hookline.testing.nodes import ADMIN_KEY, NodeProcess

MOST = 1.15
MOVIE = {
    "width": 1280,
    "height": 720,
    "scenes": [
        {
            "duration": 5,
            "elements": [
                {"type": "text", "text": "Hello World", "font_size": 48, "position": "center", "fade": 1}
            ],
        },
        {
            "duration": 5,
            "background": "#203040",
            "transition": {"type": "fade", "duration": 1},
            "elements": [
                {"type": "shape", "size": {"width": 400, "height": 200}, "color": "#C04020", "opacity": 0.8}
            ],
        },
    ],
}


def main() -> int:
    """Measure, print, and return 1 when it costs more than promised."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="hookline-render-cost-") as folder:
        by_hand, by_job = measure(Path(folder), arguments.runs)
    told = {
        "by_hand_s": round(min(cost.seconds for cost in by_hand), 3),
        "by_job_s": round(min(cost.seconds for cost in by_job), 3),
        "by_hand_cpu_s": round(min(cost.cpu for cost in by_hand), 3),
        "by_job_cpu_s": round(min(cost.cpu for cost in by_job), 3),
        "most": MOST,
        "runs": arguments.runs,
    }
    told["ratio"] = round(told["by_job_s"] / told["by_hand_s"], 3)
    told["cpu_ratio"] = round(told["by_job_cpu_s"] / told["by_hand_cpu_s"], 3)
    if arguments.json:
        print(json.dumps(told))
    else:
        print(
            f"by hand {told['by_hand_s']} s, as a job {told['by_job_s']} s: {told['ratio']} of {MOST} at most"
        )
        print(f"processor: {told['by_hand_cpu_s']} s and {told['by_job_cpu_s']} s: {told['cpu_ratio']}")
    return 0 if told["ratio"] <= MOST else 1


class Cost(NamedTuple):
    """What one render took. cpu: of all processes together."""

    seconds: float
    cpu: float


def measure(folder: Path, runs: int) -> tuple[list[Cost], list[Cost]]:
    """Return the cost of each run, by hand and as a job, taken in turns so that both see the same machine."""
    command = prepare(folder)
    node = NodeProcess(database=f"sqlite:///{folder}/cost.db", folder=folder)
    node.start()
    try:
        as_job(node)  # the first job starts the runner
        pairs = [(command_cost(command, folder), as_job(node)) for _ in range(runs)]
    finally:
        node.stop()
    return [hand for hand, _ in pairs], [job for _, job in pairs]


def prepare(folder: Path) -> list[str]:
    """Lay the movie's files out as a render does; return its command."""
    programs = Programs()
    ffmpeg, font = programs.choose_ffmpeg().place, programs.find_font(None)
    if ffmpeg is None or font is None:
        raise SystemExit("pip install 'hookline[render]'")
    movie = read_movie(json.dumps(MOVIE).encode())
    shutil.copyfile(font, folder / "font-0.ttf")
    graph = draw(movie, {}, {"scenes.0.elements.0": "font-0.ttf"})
    for name, text in graph.texts.items():
        (folder / name).write_text(text, encoding="utf-8")
    return render_command(ffmpeg, movie, (), graph)


def command_cost(command: list[str], folder: Path) -> Cost:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    began = time.perf_counter()
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    seconds = time.perf_counter() - began
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return Cost(seconds, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)


def cpu_of(pid: int) -> float:
    """Seconds that a process has used, with all that it started and saw the end of."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(int(field) for field in fields[11:15]) / os.sysconf("SC_CLK_TCK")


def as_job(node: NodeProcess) -> Cost:
    """From the request until the end is told: whoever waits is answered when the job has ended."""
    before = cpu_of(node.pid)
    began = time.perf_counter()
    job_id = node.api.call("POST", "/api/jobs", MOVIE)["job_id"]
    connection = http.client.HTTPConnection("127.0.0.1", node.port, timeout=120)
    headers = {"Authorization": f"Bearer {ADMIN_KEY}", "Prefer": "wait=90"}
    connection.request("GET", f"/api/v1/executions/exec_{job_id}", headers=headers)
    execution = json.loads(connection.getresponse().read())
    seconds = time.perf_counter() - began
    connection.close()
    if execution["status"] != "succeeded":
        raise SystemExit(f"the job ended as {execution['status']}: {execution['error']}")
    return Cost(seconds, cpu_of(node.pid) - before)


if __name__ == "__main__":
    raise SystemExit(main())
