"""Flame graphs: where a server's threads spend their time while it issues tokens.

    uv run --no-sync --with py-spy python -m benchmarks.tokens.flames FOLDER

Needs `py-spy` and `wrk`. Writes one SVG file for each database into FOLDER. A width is the share of the moments at
which the thread held the interpreter. Statements of SQLite and writes to sockets release it, and are not counted.
"""

from __future__ import annotations

import argparse
import subprocess
import tempfile
import threading
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import Final

from benchmarks.tokens.authorities import Agents, Site, running_postgresql, running_site
from benchmarks.tokens.load import run_round

WIDTH, ROW = 1200, 17
LEAST: Final = 0.004  # of the width; narrower frames are left out
SECONDS: Final = 15
SAMPLES_A_SECOND: Final = 400
_START: Final = "Runner.run (asyncio"  # all frames before it are the same
_COLOURS: Final = {"authsec": "#e07b39", "sqlalchemy": "#6f9bd1", "uvicorn": "#7fb069", "": "#c9c4b8"}


@dataclass(slots=True)
class Frame:
    """A function, and what it called."""

    samples: int = 0
    called: dict[str, Frame] = field(default_factory=dict)


def main() -> None:
    """Record both databases."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    folder: Path = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        made = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="authsec-flames-")))
        made.chmod(0o755)  # as root, PostgreSQL runs as another user, who must reach its data
        url, process = stack.enter_context(running_postgresql(made / "postgresql"))
        sites = {
            "sqlite": stack.enter_context(running_site(made / "sqlite")),
            "postgresql": stack.enter_context(running_site(made / "on-postgresql", url, (process,))),
        }
        for name, site in sites.items():
            stacks = _recorded(site, made / f"{name}.txt")
            file = folder / f"flames-{name}.svg"
            file.write_text(flame_graph(f"Issuing tokens on {name}: held the interpreter", stacks), "utf-8")
            print(file)


def _recorded(site: Site, file: Path) -> list[str]:
    """Record the server under load. Each line has frames, separated by semicolons, and a number of samples."""
    agents = Agents(site)
    load = threading.Thread(
        target=run_round, args=(site.target, agents.unattested()), kwargs={"connections": 64, "seconds": SECONDS + 4}
    )
    load.start()
    options = ["--gil", "--threads", "--format", "raw", "--rate", str(SAMPLES_A_SECOND), "--duration", str(SECONDS)]
    try:
        subprocess.run(
            ["py-spy", "record", *options, "--output", str(file), "--pid", str(site.target.process)],
            check=True,
            capture_output=True,
        )
    except FileNotFoundError:
        raise SystemExit("py-spy is missing: uv run --with py-spy") from None
    finally:
        load.join()
    return file.read_text("utf-8").splitlines()


def flame_graph(title: str, stacks: Sequence[str]) -> str:
    """Draw recorded stacks, callers on top."""
    root = Frame()
    for line in stacks:
        text, _, count = line.rpartition(" ")
        root.samples += int(count)
        frame = root
        for name in _frames(text):
            frame = frame.called.setdefault(name, Frame())
            frame.samples += int(count)
    marks: list[str] = []
    depth = _draw(marks, root, 0.0, 0, root.samples)
    height = ROW * (depth + 2) + 10
    size = f'viewBox="0 0 {WIDTH} {height}" font-family="monospace" font-size="11"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {size}>'
    ground = f'<rect width="{WIDTH}" height="{height}" fill="white"/><text x="6" y="14">{escape(title)}</text>'
    return "\n".join((head, ground, *marks, "</svg>\n"))


def _frames(text: str) -> list[str]:
    """The functions of a stack without the lines in them, from the event loop or the start of the thread on."""
    thread, *frames = text.split(";")
    kind = thread.partition(": ")[2] or thread
    started = next((at + 1 for at, each in enumerate(frames) if _START in each), 0)
    names = [each.rpartition(":")[0] + ")" for each in frames[started:]]
    return [kind, *(name for at, name in enumerate(names) if at == 0 or name != names[at - 1])]


def _draw(marks: list[str], frame: Frame, x: float, depth: int, whole: int) -> int:
    """Draw what the frame called, and return how deep that went."""
    deepest = depth
    for name, called in sorted(frame.called.items(), key=lambda pair: -pair[1].samples):
        width = WIDTH * called.samples / whole
        if width < WIDTH * LEAST:
            continue
        y = ROW * (depth + 1) + 4
        colour = next(each for part, each in _COLOURS.items() if part in name)
        share = f"{called.samples / whole:.1%}"
        shown = escape(name[: max(0, int(width / 6.7) - 1)])
        marks.append(
            f'<g><title>{escape(name)}: {share}</title><rect x="{x:.1f}" y="{y}" width="{width:.1f}" height="{ROW - 1}"'
            f' fill="{colour}" stroke="white" stroke-width="0.5"/><text x="{x + 3:.1f}" y="{y + 12}">{shown}</text></g>'
        )
        deepest = max(deepest, _draw(marks, called, x, depth + 1, whole))
        x += width
    return max(deepest, depth + 1) if frame.called else deepest


if __name__ == "__main__":
    main()
