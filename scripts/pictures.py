"""Make the pictures of the README: docs/pictures/terminal.svg, report.png, map.png and steering.svg.

    python scripts/pictures.py             # a few minutes; needs Chromium
    python scripts/pictures.py --run DIR   # the commands' results stay in DIR, and a second call is quick

All are of the bundled demo: real output of real commands, the page of `clvq report`, and the figures of `clvq steer`.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from PIL import Image
from rich.console import Console
from rich.terminal_theme import TerminalTheme
from rich.text import Text

ROOT = Path(__file__).parents[1]
PICTURES = ROOT / "docs" / "pictures"
TEXT = "the soup was never bland"
WORD = "never"
"""The word of the text whose concept is taken out."""
_SMALL = ("train", "--input-layer", "1", "--output-layer", "8", "--codebook-size", "100", "--epochs", "3", "--metric",
          "euclidean", "--name", "L1-L8")  # fmt: skip
_DEMO = ("train", "--input-layer", "4", "--output-layer", "8", "--run", "demo", "--model", "demo", "--dataset", "demo")
COLUMNS = 100
SHOWN, TOOLS, MARGIN = 660, 42, 14
"""Of a concept so much is shown, of the map not its tools, and around both a margin, in pixels of the page."""
INK, PAPER, BLUE, SAND = "#1f2328", "#fdfdfb", "#2f5d8a", "#d9d4c7"
THEME = TerminalTheme(
    (253, 253, 251), (31, 35, 40),
    [(31, 35, 40), (178, 72, 48), (46, 125, 80), (150, 110, 20), (47, 93, 138), (120, 70, 130), (37, 120, 130),
     (110, 118, 129)],
)  # fmt: skip
"""Colours of the report's page, for a terminal."""
LINE = 24.4
"""Height of a line in what Rich draws."""
SECONDS = {"command": 0.9, "line": 0.06}
"""How long the recording waits before what a command shows, and between its lines."""


def printed(folder: Path, *arguments: str, colour: bool = False) -> str:
    """Return what a command prints in `folder`."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": str(COLUMNS), "TERM": "xterm-256color"}
    environment |= {"FORCE_COLOR": "1"} if colour else {}
    command = [sys.executable, "-m", "clvq", *arguments]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"clvq {' '.join(arguments)}\n{done.stderr}")
    return done.stdout


def measured(folder: Path) -> int:
    """Train and measure what the pictures show, and return the code of `WORD`, whose concept gets a name."""
    printed(folder, *_SMALL)
    printed(folder, "faithfulness", "--by", "concept")
    words = json.loads(printed(folder, "explain", TEXT, "--json"))["sentences"][0]["words"]
    code = next(word["code"] for word in words if word["text"] == WORD)
    printed(folder, "codebook", "--code", str(code), "--rename", "denial")
    printed(folder, "report", "--text", TEXT)
    printed(folder, *_DEMO)
    printed(folder, "report", "--run", "demo")
    return int(code)


def terminal(folder: Path, code: int) -> str:
    """Return a session as SVG, in which lines appear one after another where motion is wanted."""
    session = [
        (f'clvq explain "{TEXT}"', printed(folder, "explain", TEXT, colour=True)),
        (f'clvq steer "{TEXT}" --remove {code}', printed(folder, "steer", TEXT, "--remove", str(code), colour=True)),
        ("clvq faithfulness --by concept | head -13", printed(folder, "faithfulness", "--by", "concept", colour=True)),
    ]
    console = Console(record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True)
    delays, now = [], 0.0
    for command, output in session:
        shown = output.rstrip().splitlines()[: 13 if "head" in command else None]
        for number, line in enumerate(["", f"$ {command}", *shown] if delays else [f"$ {command}", *shown]):
            now += SECONDS["command"] if line in ("", shown[0]) and number < 3 else SECONDS["line"]
            delays.append(now)
            console.print(Text.from_ansi(line, style="bold" if line.startswith("$ ") else ""), no_wrap=True, crop=True)
    svg = console.export_svg(title="clvq", theme=THEME, unique_id="terminal", font_aspect_ratio=0.6)
    return _played(svg, delays)


def _played(svg: str, delays: list[float]) -> str:
    """Return the SVG with lines that appear at their time, and with fonts of the reader's own machine."""

    def delay(line: int) -> str:
        return f"{delays[min(line, len(delays) - 1)]:.2f}s"

    svg = re.sub(r"@font-face \{.*?\}\s*", "", svg, flags=re.DOTALL)
    svg = svg.replace("Fira Code", "ui-monospace, SFMono-Regular, Menlo, DejaVu Sans Mono, Liberation Mono")
    svg = re.sub(
        r'(<text class="terminal-r\d+" )([^>]*url\(#terminal-line-(\d+)\))',
        lambda found: f'{found[1]}style="animation-delay:{delay(int(found[3]))}" {found[2]}',
        svg,
    )
    svg = re.sub(  # the grounds of shaded words
        r'(<rect fill="#\w+" )(x="[\d.]+" y="([\d.]+)" [^>]*crispEdges)',
        lambda found: f'{found[1]}style="animation-delay:{delay(round(float(found[3]) / LINE))}" {found[2]}',
        svg,
    )
    motion = (
        "@keyframes shown { from { opacity: 0 } to { opacity: 1 } }\n"
        "@media (prefers-reduced-motion: no-preference) {\n"
        "  .terminal-matrix text, .terminal-matrix rect { animation: shown .01s both }\n}\n"
    )
    return svg.replace("</style>", f"{motion}</style>", 1)


def pages(folder: Path, code: int) -> None:
    """Photograph the map and a concept of the report's page."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        arguments = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=arguments)
        page = browser.new_page(viewport={"width": 1000, "height": 820}, device_scale_factor=1.5)
        page.goto((folder / "demo" / "report.html").as_uri())
        page.wait_for_function("document.querySelector('#codebook-map').childElementCount > 0")
        page.wait_for_timeout(1500)
        _photograph(page, "#codebook-map", -TOOLS, PICTURES / "map.png")
        page.goto((folder / "clvq-run" / "report.html").as_uri())
        page.evaluate("code => { location.hash = `concept-${code}`; }", code)
        page.wait_for_selector(".arrived")
        page.wait_for_timeout(500)
        _photograph(page, f"#concept-{code}", SHOWN, PICTURES / "report.png")
        browser.close()


def _photograph(page: Any, place: str, height: int, path: Path) -> None:
    """Store an element down to a height, or without so much of its end."""
    box = page.evaluate(
        "place => { const box = document.querySelector(place).getBoundingClientRect();"
        " return {x: box.x + scrollX, y: box.y + scrollY, width: box.width, height: box.height}; }",
        place,
    )
    box["height"] = (height if height > 0 else box["height"] + height) + MARGIN
    box |= {"x": box["x"] - MARGIN, "y": box["y"] - MARGIN, "width": box["width"] + 2 * MARGIN}
    _kept(page.screenshot(full_page=True, clip=box), path)


def _kept(png: bytes, path: Path) -> None:
    """Store a picture with 64 colours, which is a third of its bytes."""
    Image.open(io.BytesIO(png)).convert("RGB").quantize(64, dither=Image.Dither.NONE).save(path, optimize=True)


def steering(folder: Path, code: int) -> None:
    """Draw the probability of the answer against the share of the concept that is taken out."""
    sys.path.insert(0, str(ROOT))  # this checkout, whichever is installed
    import matplotlib as mpl

    import clvq

    mpl.use("svg")
    import matplotlib.pyplot as plt

    mpl.rcParams |= {"svg.hashsalt": "clvq", "svg.fonttype": "none", "font.family": "sans-serif", "text.color": INK}
    strengths = [step / 20 for step in range(21)]
    steered = [clvq.steer(folder / "clvq-run" / "L1-L8", TEXT, remove=[code], strength=one) for one in strengths]
    answers = [next(answer for answer in one.answers if answer.name == "positive") for one in steered]
    figure, axes = plt.subplots(figsize=(6.4, 3.4), layout="constrained", facecolor=PAPER)
    axes.set_facecolor(PAPER)
    axes.fill_between(strengths, [a.control_low for a in answers], [a.control_high for a in answers], color=SAND)
    axes.plot(strengths, [a.control for a in answers], color="#8a8270", linewidth=1.2)
    axes.plot(strengths, [a.after for a in answers], color=BLUE, linewidth=2.4)
    axes.text(
        0.03, 0.86, "steps of the same length along\nrandom directions: mean, middle 90%", color="#6b6453", va="top"
    )
    axes.text(0.79, 0.34, "without “denial”", color=BLUE, ha="right", weight="bold")
    axes.set(xlabel="share of the concept taken out", ylabel="probability of positive", xlim=(0, 1), ylim=(0, 1.02))
    axes.set_title(f"“{TEXT}”", loc="left", style="italic")
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(PICTURES / "steering.svg", metadata={"Date": None})


def main() -> None:
    """Make all four."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", type=Path, help="folder to run the commands in [a temporary one]")
    folder = parser.parse_args().run
    PICTURES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as temporary:
        folder = folder or Path(temporary)
        folder.mkdir(exist_ok=True)
        code = measured(folder)
        (PICTURES / "terminal.svg").write_text(terminal(folder, code), encoding="utf-8")
        pages(folder, code)
        steering(folder, code)
    for picture in sorted(PICTURES.iterdir()):
        print(f"{picture.relative_to(ROOT)}  {picture.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
