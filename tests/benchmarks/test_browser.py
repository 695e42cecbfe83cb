"""The report in a real browser: phone and desktop, light and dark.

What is measured is told by `measure_page.js`, which runs in a copy of the page. Each fault that it
looks for is planted here, too.
"""

import html
import json
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from example_results import example
from PIL import Image, ImageStat

from benchmarks import report

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
HEIGHT = 4000
SCRIPT = Path(__file__).with_name("measure_page.js").read_text("utf-8")

pytestmark = pytest.mark.skipif(
    BROWSER is None, reason=f"no browser to look at the report with: none of {', '.join(NAMES)}"
)


class Look(NamedTuple):
    """What a browser found.

    Attributes:
        measured: what `measure_page.js` wrote.
        console: what the page wrote to the console, errors included.
    """

    measured: dict[str, Any]
    console: list[str]

    def wrong(self) -> dict[str, list[str]]:
        return {kind: found for kind, found in self.measured["found"].items() if found}


def browse(page: str, width: int, dark: bool, *options: str) -> tuple[str, str]:
    """Opens a page in a frame, for a window cannot be as narrow as a phone."""
    assert BROWSER is not None
    style = f"border: 0; width: {width}px; height: {HEIGHT}px"
    frame = (
        '<!doctype html><html style="color-scheme: light dark"><meta charset="utf-8">'
        '<body style="margin: 0">'
        f'<iframe style="{style}" srcdoc="{html.escape(page)}"></iframe></body></html>'
    )
    window = f"--window-size={max(width, NARROWEST)},{HEIGHT}"
    scheme = f"--blink-settings=preferredColorScheme={0 if dark else 1}"
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "page.html"
        file.write_text(frame, "utf-8")
        profile = f"--user-data-dir={folder}/profile"
        command = [BROWSER, *OPTIONS, profile, window, scheme, *options, file.as_uri()]
        done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=True)
    return done.stdout, done.stderr


def look(page: str, width: int = 1280, dark: bool = False) -> Look:
    measuring = page.replace("</body>", f"<script>{SCRIPT}</script></body>")
    document, log = browse(measuring, width, dark, "--dump-dom")
    written = re.search(r'<pre id="measured">(.*?)</pre>', document, re.DOTALL)
    assert written is not None, log
    console = [line for line in log.splitlines() if ":CONSOLE" in line]
    return Look(json.loads(html.unescape(written[1])), console)


def photograph(page: str, file: Path, width: int = 1280, dark: bool = False) -> Image.Image:
    browse(page, width, dark, f"--screenshot={file}")
    with Image.open(file) as picture:
        return picture.convert("RGB").crop((0, 0, width, HEIGHT))


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("page")
    report.write(example(0), folder)
    return (folder / "report.html").read_text("utf-8")


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A page of a few cells, which has a picture of every kind all the same."""
    results = example(0)
    results.cells = [
        cell
        for cell in results.cells
        if "grid" in cell.setting.sweeps and cell.setting.depth <= 4 and cell.setting.batch <= 16
    ]
    folder = tmp_path_factory.mktemp("small")
    report.write(results, folder)
    return (folder / "report.html").read_text("utf-8")


VIEWS = [(390, False), (390, True), (1280, False), (1280, True)]


@pytest.fixture(scope="module", params=VIEWS, ids=lambda v: f"{v[0]}-{'dark' if v[1] else 'light'}")
def view(page: str, request: pytest.FixtureRequest) -> tuple[Look, int, bool]:
    width, dark = request.param
    return look(page, width, dark), width, dark


def test_it_was_looked_at_as_intended(view: tuple[Look, int, bool], page: str) -> None:
    seen, width, dark = view
    assert seen.measured["width"] == width
    assert seen.measured["dark"] is dark
    assert seen.measured["pictures"] == page.count("<svg") >= 20
    assert seen.measured["texts"] > 5000


def test_nothing_is_wrong_with_it(view: tuple[Look, int, bool]) -> None:
    """Overflow, empty boxes, faint text, and labels of pictures that are cut off or touch."""
    assert view[0].wrong() == {}


def test_it_is_silent_and_fetches_nothing(view: tuple[Look, int, bool]) -> None:
    assert view[0].console == []
    assert view[0].measured["fetched"] == []


def shows_something(picture: Image.Image) -> bool:
    """Whether every screenful has more than a few colours."""
    screens = [picture.crop((0, top, picture.width, top + 1000)) for top in range(0, HEIGHT, 1000)]
    return all(len(screen.getcolors(1 << 24) or []) > 50 for screen in screens)


@pytest.mark.parametrize(("width", "dark"), VIEWS)
def test_its_picture_is_not_blank(page: str, tmp_path: Path, width: int, dark: bool) -> None:
    picture = photograph(page, tmp_path / "picture.png", width, dark)
    assert shows_something(picture)
    brightness = ImageStat.Stat(picture.convert("L")).median[0]
    assert brightness < 50 if dark else brightness > 200


@pytest.mark.parametrize("cells", [0, 7])
def test_a_run_that_was_cut_short_looks_right_too(cells: int, tmp_path: Path) -> None:
    report.write(example(2, cells=cells), tmp_path)
    assert look((tmp_path / "report.html").read_text("utf-8"), 390).wrong() == {}


# Each fault, planted.

Fault = Callable[[str], str]


def styled(rule: str) -> Fault:
    return lambda page: page.replace("</style>", f"{rule}</style>", 1)


def text_in_a_picture(attributes: str) -> Fault:
    return lambda page: page.replace("</svg>", f"<text {attributes}>planted</text></svg>", 1)


FAULTS: dict[str, tuple[str, Fault]] = {
    "a wide table without its box": ("overflow", styled(".scroll { overflow: visible; }")),
    "a wide picture": ("overflow", styled("svg { width: 800px !important; }")),
    "a heading without size": ("empty", styled("h2 { display: none; }")),
    "a picture without size": ("empty", styled("svg { height: 0 !important; }")),
    "faint text": ("contrast", styled("caption { color: #999999; }")),
    "faint labels": ("contrast", styled("svg text { fill: #999999 !important; }")),
    "ink on a dark tile": ("contrast", styled(":root { --ratio-3: #445566; }")),
    "a label that is cut off": ("cut", text_in_a_picture('x="330" y="20"')),
    "labels that touch": (
        "touching",
        lambda page: text_in_a_picture('x="20" y="50"')(text_in_a_picture('x="30" y="52"')(page)),
    ),
}


def test_the_small_page_has_no_fault(small: str) -> None:
    assert look(small, 390).wrong() == {}
    assert small.count("<svg") >= 8


@pytest.mark.parametrize("name", FAULTS)
def test_a_planted_fault_is_seen(name: str, small: str) -> None:
    kind, fault = FAULTS[name]
    broken = fault(small)
    assert broken != small
    assert kind in look(broken, 390).wrong()


def test_a_colour_that_is_fixed_is_seen_in_the_dark(small: str) -> None:
    broken = styled("h2 { color: #1b1f24; }")(small)
    assert "contrast" not in look(broken, dark=False).wrong()
    assert "contrast" in look(broken, dark=True).wrong()


def test_an_error_and_a_fetched_picture_are_seen(small: str) -> None:
    picture = "http://localhost:9/planted.png"  # nobody answers there; it is asked all the same
    script = '<script>throw new Error("planted")</script>'
    seen = look(small.replace("</main>", f'{script}<img src="{picture}" alt=""></main>'))
    assert any("planted" in line for line in seen.console)
    assert seen.measured["fetched"] == [picture]


def test_a_blank_page_is_seen(small: str, tmp_path: Path) -> None:
    blank = styled("body { opacity: 0; }")(small)
    assert not shows_something(photograph(blank, tmp_path / "picture.png"))
