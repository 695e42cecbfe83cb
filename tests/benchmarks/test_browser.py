"""The report in a real browser: phone and desktop, light and dark."""

import html
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from example_results import example
from PIL import Image, ImageStat

from benchmarks import report
from benchmarks.report import palette

NAMES = ("chromium", "chromium-browser", "google-chrome")
BROWSER = next((path for name in NAMES if (path := shutil.which(name))), None)
OPTIONS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--enable-logging=stderr",
)
NARROWEST = 500  # pixels of a window: a phone is a frame in it
HEIGHT, SCREEN = 4000, 800
MEASURE = """<script>addEventListener("load", () => {
  for (const details of document.querySelectorAll("details")) details.open = true;
  const seen = (image) => image.naturalWidth > 0 && image.clientWidth > 300;
  const answer = document.querySelector("#summary .panels")?.getBoundingClientRect().bottom;
  console.log("measured " + JSON.stringify({
    dark: matchMedia("(prefers-color-scheme: dark)").matches,
    width: innerWidth,
    overflow: document.documentElement.scrollWidth - innerWidth,
    pictures: [...document.images].filter(seen).length,
    answer: Math.ceil(answer),
    fetched: performance.getEntriesByType("resource").map((entry) => entry.name),
  }));
});</script>"""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        BROWSER is None, reason=f"no browser to look at the report with: none of {', '.join(NAMES)}"
    ),
]


class Look(NamedTuple):
    """A screenshot, what `MEASURE` found, and what else the page wrote to the console."""

    picture: Image.Image
    measured: dict[str, Any]
    console: list[str]


def look(page: str, folder: Path, width: int = 390, dark: bool = False) -> Look:
    """Opens a page in a frame, because a window cannot be as narrow as a phone."""
    assert BROWSER is not None
    style = f"border: 0; width: {width}px; height: {HEIGHT}px"
    document = html.escape(page.replace("</body>", f"{MEASURE}</body>"))
    file, picture = folder / "frame.html", folder / "picture.png"
    file.write_text(
        '<!doctype html><html style="color-scheme: light dark"><meta charset="utf-8">'
        f'<body style="margin: 0"><iframe style="{style}" srcdoc="{document}"></iframe></body>'
    )
    window = f"--window-size={max(width, NARROWEST)},{HEIGHT}"
    scheme = f"--blink-settings=preferredColorScheme={0 if dark else 1}"
    profile, shot = f"--user-data-dir={folder}/profile", f"--screenshot={picture}"
    command = [BROWSER, *OPTIONS, profile, window, scheme, shot, file.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=True)
    console = [line for line in done.stderr.splitlines() if ":CONSOLE" in line]
    (said,) = (line for line in console if '"measured ' in line)
    console.remove(said)
    measured = json.loads(said[said.index("{") : said.rindex("}") + 1])
    with Image.open(picture) as image:
        return Look(image.convert("RGB").crop((0, 0, width, HEIGHT)), measured, console)


def shows_something(picture: Image.Image) -> bool:
    """Looks for more than a few colours on every screenful."""
    screens = [picture.crop((0, top, picture.width, top + 1000)) for top in range(0, HEIGHT, 1000)]
    return all(len(screen.getcolors(1 << 24) or []) > 50 for screen in screens)


def written(folder: Path, cells: int | None = None) -> str:
    report.write(example(0, cells=cells), folder)
    return (folder / "report.html").read_text("utf-8")


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> str:
    return written(tmp_path_factory.mktemp("page"))


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A run that was interrupted."""
    return written(tmp_path_factory.mktemp("small"), cells=7)


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_the_page_fits_and_fetches_nothing(
    page: str, tmp_path: Path, width: int, dark: bool
) -> None:
    seen = look(page, tmp_path, width, dark)
    pictures = page.count("<img")
    assert seen.measured.pop("answer") < (SCREEN if width > 800 else HEIGHT)
    expected = {"width": width, "dark": dark, "overflow": 0, "pictures": pictures, "fetched": []}
    assert pictures >= 14
    assert seen.measured == expected
    assert seen.console == []
    assert shows_something(seen.picture)
    brightness = ImageStat.Stat(seen.picture.convert("L")).median[0]
    assert brightness < 50 if dark else brightness > 200


def test_an_interrupted_run_fits(small: str, tmp_path: Path) -> None:
    seen = look(small, tmp_path)
    assert (seen.measured["overflow"], seen.measured["pictures"]) == (0, small.count("<img"))


def test_planted_faults_are_seen(small: str, tmp_path: Path) -> None:
    fetched = "http://localhost:9/planted.png"  # nobody answers there, but the browser asks
    broken = small.replace("</style>", ".scroll { overflow: visible; }</style>", 1)
    planted = f'<script>throw new Error("planted")</script><img src="{fetched}" alt="">'
    seen = look(broken.replace("</main>", f"{planted}</main>"), tmp_path)
    assert seen.measured["overflow"] > 0
    assert seen.measured["fetched"] == [fetched]
    assert seen.measured["pictures"] == small.count("<img")
    assert any("planted" in line for line in seen.console)


def test_a_blank_page_is_seen(small: str, tmp_path: Path) -> None:
    blank = small.replace("</style>", "body { opacity: 0; }</style>", 1)
    assert not shows_something(look(blank, tmp_path).picture)


# Contrast: every colour of the page and of its pictures, as the browser shows it.

COLOURS = {
    **palette.COLOURS,
    **{f"line {hue}": hue for hue in palette.HUES},
    **{f"tile {step}": colour for step, colour in palette.SCALE.items()},
}


def luminance(colour: tuple[int, ...]) -> float:
    """Relative luminance as the Web Content Accessibility Guidelines define it."""
    parts = [value / 255 for value in colour]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return sum(w * p for w, p in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def contrast(a: tuple[int, ...], b: tuple[int, ...]) -> float:
    low, high = sorted((luminance(a), luminance(b)))
    return (high + 0.05) / (low + 0.05)


def shown(small: str, folder: Path, dark: bool) -> dict[str, tuple[int, ...]]:
    """Opens swatches below the page's style sheet, and reads their colours."""
    (style,) = re.findall(r"<style>.*?</style>", small, re.DOTALL)
    variables = re.findall(r"--(\w+): light-dark", style)
    svg = '<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><rect fill="{}" {}/></svg>'
    swatches = [f'<p style="background: var(--{name})"></p>' for name in variables]
    for colour in COLOURS.values():
        picture = html.escape(svg.format(colour.replace("#", "%23"), 'width="9" height="9"'))
        swatches.append(f'<img alt="" src="data:image/svg+xml,{picture}">')
    layout = "<style>body { padding: 0; } body * { margin: 0; height: 9px; }</style>"
    picture = look(f"{style}{layout}<body>{''.join(swatches)}</body>", folder, 390, dark).picture
    names = [*variables, *(f"picture {name}" for name in COLOURS)]
    return {name: picture.getpixel((4, 9 * i + 4)) for i, name in enumerate(names)}


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_colours_stand_out_from_what_is_behind_them(small: str, tmp_path: Path, dark: bool) -> None:
    assert contrast((0, 0, 0), (255, 255, 255)) == pytest.approx(21)
    colours = shown(small, tmp_path, dark)
    assert colours["picture paper"] == colours["paper"]  # or pictures would be boxes
    for text in ("ink", "dim", "faster", "slower"):
        assert contrast(colours[text], colours["paper"]) >= 4.5, text
        assert contrast(colours[text], colours["panel"]) >= 4.5, text
    for text in ("picture ink", "picture dim"):
        assert contrast(colours[text], colours["paper"]) >= 4.5, text
    for name, colour in colours.items():
        if name.startswith("picture line "):
            assert contrast(colour, colours["paper"]) >= 3, name
        if name.startswith("picture tile "):
            assert contrast(colours["picture ink"], colour) >= 4.5, name
