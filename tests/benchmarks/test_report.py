"""The report of a run: its numbers and words, escaping, and that it stands alone."""

import base64
import dataclasses
import io
import re
from collections.abc import Iterable
from fractions import Fraction
from html.parser import HTMLParser
from itertools import combinations, pairwise
from pathlib import Path
from xml.etree import ElementTree

import pytest
from example_results import METHODS, OURS, example
from matplotlib.text import Text
from matplotlib.transforms import Bbox
from msgspec.structs import replace
from rich.console import Console

from benchmarks import report
from benchmarks.derived import steps_to_break_even
from benchmarks.report import (
    curves,
    documents,
    drawing,
    groups,
    heatmap,
    limits,
    palette,
    summary,
    tables,
    words,
)
from benchmarks.report.contents import Section, contents, flat
from benchmarks.report.documents import page as render
from benchmarks.report.drawing import Drawing
from benchmarks.report.verdicts import (
    best_peer,
    fastest,
    fastest_standing,
    fastest_standings,
    having,
    limit,
    noise,
    standing,
    verdict,
)
from benchmarks.results import Absence, Cell, Interval, Reason, Results, load

HOSTILE = '<script>alert("1")</script> & $x_1$ | `*'


class Page(HTMLParser):
    """The facts about a page that the tests need."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.tags: list[str] = []
        self.references: list[str] = []
        self.headings: list[str] = []
        self.pictures: list[dict[str, str]] = []
        self.text: list[str] = []
        self.rows: list[list[str]] = []
        self._open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attrs}
        self.tags.append(tag)
        self.ids += [found["id"]] if "id" in found else []
        for name in ("src", "href", "data", "srcset"):
            self.references += [found[name]] if name in found else []
        if tag == "img":
            self.pictures.append(found)
        if tag == "tr":
            self.rows.append([])
        if tag in ("th", "td") and self.rows:
            self.rows[-1].append("")
        self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        while self._open and self._open.pop() != tag:
            pass

    def handle_data(self, data: str) -> None:
        if "style" not in self._open:
            self.text.append(data)
        if self._open and self._open[-1] in ("h1", "h2", "h3"):
            self.headings.append(data)
        if self._open and self._open[-1] in ("th", "td"):
            self.rows[-1][-1] += data

    def drawn(self) -> Iterable[ElementTree.Element]:
        """Returns every element of every picture."""
        for picture in self.pictures:
            kind, _, data = picture["src"].partition(",")
            assert kind == "data:image/svg+xml;base64"
            yield from ElementTree.fromstring(base64.b64decode(data)).iter()


def written(results: Results, folder: Path) -> Page:
    report.write(results, folder)
    return Page((folder / "report.html").read_text("utf-8"))


def in_terminal(results: Results, width: int = 80) -> str:
    console = Console(record=True, width=width, file=io.StringIO())
    console.print(report.table(results))
    return console.export_text()


@pytest.fixture(scope="module")
def results() -> Results:
    return example(0)


@pytest.fixture(scope="module")
def sections(results: Results) -> list[Section]:
    return contents(results)


@pytest.fixture(scope="module")
def page(results: Results, sections: list[Section]) -> Page:
    return Page(render(results, sections))


@pytest.fixture(scope="module")
def panels(sections: list[Section]) -> list[Drawing]:
    return [panel for section in sections for panel in section.panels]


# The page.


def test_what_was_there_stays_whole_if_the_report_cannot_be_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    results, folder = example(0, cells=0), tmp_path / "new"
    report.write(results, folder)
    assert {path.name for path in folder.iterdir()} == {"report.html", "report.md"}
    before = (folder / "report.html").read_text("utf-8")

    def fail(*_: object) -> str:
        raise RuntimeError

    monkeypatch.setattr(documents, "markdown", fail)
    with pytest.raises(RuntimeError):
        report.write(replace(results, name="another"), folder)
    assert {path.name for path in folder.iterdir()} == {"report.html", "report.md"}
    assert (folder / "report.html").read_text("utf-8") == before


def test_the_page_stands_alone(page: Page) -> None:
    pictures = [picture["src"] for picture in page.pictures]
    links = [url for url in page.references if url not in pictures]
    assert sorted(links) == sorted(f"#{key}" for key in page.ids)
    assert len(page.ids) == len(set(page.ids)) > 5
    assert not {"script", "link", "iframe", "object", "svg"} & set(page.tags)


def test_the_pictures_stand_alone(page: Page) -> None:
    elements = list(page.drawn())
    values = [value for element in elements for value in element.attrib.values()]
    tags = {element.tag.rpartition("}")[2] for element in elements}
    assert {"text", "path"} <= tags
    assert not {"script", "image", "foreignObject"} & tags
    assert [value for value in values if re.search(r"url\((?!#)", value)] == []
    used = {value for element in elements for key, value in element.items() if "href" in key}
    assert {value[:1] for value in used} == {"#"}


def test_every_colour_is_one_of_the_palette(page: Page) -> None:
    attributes = (" ".join(element.attrib.values()) for element in page.drawn())
    drawn = set(re.findall(r"#[0-9a-f]{6}\b", " ".join(attributes)))
    assert len(drawn) > 15
    known = *palette.COLOURS.values(), *palette.SCALE.values(), *palette.HUES
    assert drawn <= set(known)
    style = Path(report.__file__).with_name("report.css").read_text("utf-8")
    used = re.findall(r"(?<!-)\b(?:color|background): ([^;}\"]+)", style)
    assert set(used) - {"inherit"} == {
        f"var(--{name})" for name in ("ink", "paper", "panel", "dim", "faster", "slower")
    }


def labels(drawing: Drawing) -> list[tuple[str, Bbox]]:
    texts = [text for text in drawing.figure.findobj(Text) if text.get_visible()]
    return [(t.get_text(), t.get_window_extent()) for t in texts if t.get_text()]


def touch(a: Bbox, b: Bbox) -> bool:
    across, along = min(a.x1, b.x1) - max(a.x0, b.x0), min(a.y1, b.y1) - max(a.y0, b.y0)
    return across > 0.5 and along > 0.35 * min(a.height, b.height)


@pytest.mark.usefixtures("page")  # which draws them
def test_labels_of_pictures_are_neither_cut_off_nor_touch(panels: list[Drawing]) -> None:
    for panel in panels:
        found, frame = labels(panel), panel.figure.bbox
        assert len(found) > 8
        inside = frame.padded(1)
        assert [text for text, box in found if not inside.contains(*box.min)] == []
        assert [text for text, box in found if not inside.contains(*box.max)] == []
        pairs = [(a, b) for (a, one), (b, other) in combinations(found, 2) if touch(one, other)]
        assert pairs == [], panel.caption


def test_the_answer_comes_first_and_the_versions_last(page: Page) -> None:
    assert page.headings == [
        "jaxpercep benchmarks: example",
        "Where jaxpercep leads",
        "Cell by cell",
        "Every method",
        "Compiling",
        "Time to accuracy",
        "Every number",
        "Left out",
        "Versions",
    ]


def test_the_answer_has_a_map_the_limit_and_a_curve_of_each_sweep(
    sections: list[Section], results: Results, tmp_path: Path
) -> None:
    names = [panel.name for panel in sections[0].panels]
    assert names == ["grid", "limit", "batch", "depth", "width"]
    report.write(results, tmp_path)
    files = {path.name for path in (tmp_path / "pictures").iterdir()}
    assert files == {f"{name}.svg" for name in names}


def test_every_method_is_named_in_the_pictures_of_each_sweep(sections: list[Section]) -> None:
    (section,) = (one for one in sections if one.key == "methods")
    for sweep in groups.SWEEPS:
        shown = [p for p in section.panels if p.caption.endswith(f", by {sweep}")]
        said = " ".join(panel.description for panel in shown)
        assert [method for method in METHODS if f"{method}: " not in said] == []


def test_pictures_can_be_read_without_eyes(page: Page, results: Results) -> None:
    assert len(page.pictures) >= 14
    assert all(picture["alt"] for picture in page.pictures)
    cell = results.cells[0]
    manual, best = cell.of("jaxpercep manual"), best_peer(cell)
    assert manual is not None
    assert best is not None
    for name, m in (("jaxpercep manual", manual), ("the best peer", best)):
        said = f"{name}: {words.tick(m.seconds.median / cell.setting.batch)} at batch 1, "
        assert any(said in picture["alt"] for picture in page.pictures)


def test_every_number_of_a_cell_is_on_the_page(page: Page, results: Results) -> None:
    cell = results.cells[3]
    for m in cell.measurements:
        (row,) = [r for r in page.rows if r and r[0] == m.method and words.timed(m.seconds) in r]
        assert row[2:] == [
            tables.against_best(results, cell, m.method).text,
            words.ratio(m.to_limit) if m.to_limit else "-",
            words.rate(m.samples_per_second),
            words.number(m.gflops),
            words.percent(m.peak_fraction),
            words.percent(m.bandwidth_fraction),
            m.bound or "-",
            words.seconds(m.trace),
            words.seconds(m.compile),
            words.seconds(m.first_call),
            break_even(results, cell, m.method),
            words.seconds(m.dispatch),
            words.bytes_(m.temporary_bytes),
            words.bytes_(m.peak_rss),
            f"{m.error:.1e}",
            "-",
        ]


def break_even(results: Results, cell: Cell, method: str) -> str:
    own, peer = fastest(results, cell), cell.of(method)
    if method in (*OURS, "c++"):
        return "-"
    assert own is not None
    assert peer is not None
    steps = steps_to_break_even(own, peer)
    return "never" if steps is None else words.whole(steps)


def test_when_compiling_has_paid_is_said_beside_each_peer(results: Results) -> None:
    found = {break_even(results, c, m.method) for c in results.cells for m in c.measurements}
    assert {"-", "0", "never"} < found
    for cell in results.cells:
        table = tables.measured(results, cell)
        for row in table.rows:
            shown = row[table.header.index("we lead after")]
            assert shown == break_even(results, cell, str(row[0]))


def test_what_was_left_out_is_on_the_page_with_its_reason(page: Page, results: Results) -> None:
    every = [*results.absences, *(a for cell in results.cells for a in cell.absences)]
    assert {a.kind for a in every} == {"skipped", "refused", "failed"}
    planned = {a for a in every if a.reason not in (Reason.WRONG, Reason.FAILED)}
    assert len(planned) > 2
    for absence in every:
        outcome = "planned" if absence in planned else absence.kind
        assert [r for r in page.rows if r[:3] == [absence.method, outcome, absence.detail]]
    assert "Warning" not in " ".join(page.text)


def test_one_reason_in_the_same_cells_is_one_row() -> None:
    results = example(0, cells=4)
    late = [Absence(method, Reason.TOO_SLOW, "no time") for method in ("numpy", "torch")]
    results.absences = [Absence("mxnet", Reason.NOT_INSTALLED, "not there")]
    for cell in results.cells:
        cell.absences = [Absence("slow", Reason.SLOW_TO_COMPILE, "elsewhere"), *late]
    results.cells[0].absences.append(Absence("torch", Reason.WRONG, "wrong"))
    key = results.cells[0].setting.key
    assert tables.absences(results).rows == [
        ["numpy, torch", "skipped", "no time", f"4 cells, such as {key}"],
        ["torch", "refused", "wrong", key],
        ["slow", "planned", "elsewhere", f"4 cells, such as {key}"],
        ["mxnet", "planned", "not there", "the whole run"],
    ]


def test_goals_are_on_the_page(page: Page, results: Results) -> None:
    assert ["scikit-learn", "not reached", "-", "-", "0.130"] in page.rows
    goal = next(goal for goal in results.goals if goal.steps is not None)
    assert [goal.method, str(goal.steps)] in [row[:2] for row in page.rows]


def test_what_each_method_is_is_on_the_page(page: Page, results: Results) -> None:
    for name, summary_ in results.methods.items():
        assert [name, summary_] in page.rows


def test_the_machine_and_the_command_are_on_the_page(page: Page, results: Results) -> None:
    assert ["command", results.command] in page.rows
    for name, value in flat(results.environment).items():
        assert [name, value] in page.rows


def test_the_environment_is_flattened_with_the_names_of_variables_kept() -> None:
    recorded = {
        "cgroup_quota": None,
        "load_after": [0.5, 1.0],
        "variables": {"XLA_FLAGS": "a=b"},
        "thread_pools": {"torch": {"libgomp": 2}},
    }
    assert flat(recorded) == {
        "cgroup quota": "-",
        "load after": "0.5 1",
        "variables, XLA_FLAGS": "a=b",
        "thread pools, torch, libgomp": "2",
    }


# Runs that are not whole.


def test_an_interrupted_run_says_so(tmp_path: Path) -> None:
    results = example(1, cells=5)
    page = written(results, tmp_path)
    said = "Incomplete (Ctrl-C): 5 of 39 planned cells in 16.9 minutes."
    assert said in page.text
    assert said in (tmp_path / "report.md").read_text("utf-8")
    for key in results.planned[5:]:
        assert [key] in page.rows
    assert {path.stem for path in (tmp_path / "pictures").iterdir()} == {"batch", "limit"}
    assert "Time to accuracy" not in page.headings


def test_a_cell_without_a_measurement_is_not_reached(tmp_path: Path) -> None:
    results = example(0, cells=4)
    last = results.cells[-1]
    last.measurements.clear()
    last.best_peer = last.null = None
    last.absences = [Absence(method, Reason.TOO_SLOW, "no time") for method in METHODS]
    page = written(results, tmp_path)
    assert summary.status(results).startswith("Incomplete (Ctrl-C): 3 of 39 planned cells")
    assert [last.setting.key] in page.rows
    assert [", ".join(METHODS), "skipped", "no time", last.setting.key] in page.rows
    (curve,) = groups.curves(results, "batch")
    assert curve.x == [1, 4, 16]
    assert "batch 64" not in in_terminal(results)


def test_warnings_are_said_everywhere(tmp_path: Path) -> None:
    results = example(0, cells=1)
    results.warnings = ["jax works with 3 threads"]
    page = written(results, tmp_path)
    text = (tmp_path / "report.md").read_text("utf-8")
    for said in (" ".join(page.text), text, in_terminal(results)):
        assert "Warning: jax works with 3 threads." in said


@pytest.mark.parametrize("cells", [0, 1, 2])
def test_a_run_of_few_cells_has_a_report(cells: int, tmp_path: Path) -> None:
    results = example(0, cells=cells)
    page = written(results, tmp_path)
    assert ("Every method" in page.headings) == (cells == 2)
    assert ("Every number" in page.headings) == (cells > 0)
    expected = "jaxpercep leads in" if cells else "No cell was measured beside a peer."
    text = (tmp_path / "report.md").read_text("utf-8")
    for said in (" ".join(page.text), text, in_terminal(results)):
        assert expected in said


def test_a_run_without_peers_or_without_ours_has_a_report(tmp_path: Path) -> None:
    for name, wanted in (("ours", OURS), ("theirs", [m for m in METHODS if m not in OURS])):
        results = example(0, cells=10)
        results.cells = results.cells[-2:]  # of the depth sweep
        for cell in results.cells:
            cell.measurements = [m for m in cell.measurements if m.method in wanted]
            if name == "ours":
                cell.best_peer = cell.null = cell.null_method = None
                for measurement in cell.measurements:
                    measurement.ratio = None
        page = written(results, tmp_path / name)
        assert "No cell was measured beside a peer." in page.text
        assert "Every method" in page.headings
        shown = fastest(results, results.cells[0]) or best_peer(results.cells[0])
        assert shown is not None
        assert words.seconds(shown.seconds.median) in in_terminal(results)


def test_names_and_reasons_are_only_text(tmp_path: Path) -> None:
    results = example(0, cells=4)
    results.name = results.command = HOSTILE
    results.methods = {HOSTILE: HOSTILE, **results.methods}
    results.ours = [HOSTILE, *results.ours]
    results.environment, results.warnings = {HOSTILE: HOSTILE}, [HOSTILE]
    results.absences = [Absence(HOSTILE, Reason.TOO_SLOW, HOSTILE)]
    results.planned.append(HOSTILE)
    last = results.cells[-1]
    last.setting = replace(last.setting, workload=HOSTILE)
    for measurement in last.measurements:
        measurement.to_limit = None  # its name would fill the picture
    for cell in results.cells:
        cell.measurements[0].method = cell.measurements[0].notes[:] = HOSTILE
        cell.measurements[0].notes = cell.notes = [HOSTILE]
        cell.null_method = HOSTILE
        cell.absences.append(Absence("x", Reason.FAILED, HOSTILE))
    page = written(results, tmp_path)
    assert "script" not in page.tags
    assert HOSTILE in " ".join(page.text)
    assert HOSTILE in [element.text for element in page.drawn()]  # its dollars are no mathematics
    lines = (tmp_path / "report.md").read_text("utf-8").splitlines()
    assert [line for line in lines[3:] if re.search(r"(?<!\\)<|(?<!\\)`", line)] == []
    rows = [line for line in lines if line.startswith("|")]
    assert {len(re.findall(r"(?<!\\)\|", row)) for row in rows} <= {3, 5, 6, 7, 9}
    assert '<script>alert("1")</script>' in in_terminal(results, width=200)


# The Markdown.


def test_the_markdown_is_that_of_the_results(results: Results, sections: list[Section]) -> None:
    text = documents.markdown(results, sections)
    assert text == documents.markdown(example(0), contents(example(0)))
    assert text.startswith(f"```bash\n{results.command}\n```\n")
    for method in METHODS:
        assert f"| {method} |" in text or f"| **{method}** |" in text
    assert text.index("leads in") < text.index("| jax | 0.10.1 |") > text.index("| mxnet |")


def test_the_markdown_has_the_paragraphs_and_tables_of_the_page(
    results: Results, sections: list[Section], page: Page
) -> None:
    text = documents.markdown(results, sections)
    shown = [s for s in sections if s.filled]
    assert re.findall(r"^### (.*)$", text, re.MULTILINE) == [s.title for s in shown]
    assert len(shown) > 5
    for paragraph in sections[0].account:
        assert paragraph in text
        assert paragraph in page.text
    entries = re.findall(r"(?<=\| )[^|]*(?= \|)", text.replace("**", ""))
    assert len(entries) > 400
    cells = {entry for row in page.rows for entry in row}
    assert [e for e in entries if e.replace("\\", "") not in cells | {"---", "---:"}] == []


def test_the_markdown_takes_cells_evenly_from_small_to_large(results: Results) -> None:
    chosen = tables.spread(results.cells)
    ordered = sorted(results.cells, key=lambda cell: (cell.flops, cell.setting.key))
    ranks = [ordered.index(cell) for cell in chosen]
    assert (ranks[0], ranks[-1], len(ranks)) == (0, len(ordered) - 1, 5)
    steps = [b - a for a, b in pairwise(ranks)]
    assert max(steps) - min(steps) <= 1


def test_all_methods_are_shown_side_by_side_with_times_and_ratios(results: Results) -> None:
    chosen = tables.spread(results.cells)
    table = tables.beside(results, chosen, "")
    entries = {(row[0], i): text for row in table.rows for i, text in enumerate(row[1:])}
    for i, cell in enumerate(chosen):
        assert str(entries[cell.best_peer or "", i]).endswith("(best peer)")
        for m in cell.measurements:
            assert str(entries[m.method, i]).startswith(words.seconds(m.seconds.median))
            if m.ratio is not None:
                same = verdict(m.ratio, noise(results, cell)) == "no difference"
                shown = "=" if same else words.number(m.ratio.median)
                assert str(entries[m.method, i]).endswith(f"({shown})")
    assert entries["scikit-learn", 0] == "refused"  # the smallest is XOR


def test_what_compiling_costs_is_shown_by_depth(results: Results) -> None:
    (curve,) = groups.curves(results, "depth")
    (curve,) = groups.curves(results, "depth")
    table = tables.first_calls(results, curve)
    assert table.header == ["method", *map(str, curve.x)]
    assert [row[0] for row in table.rows] == list(METHODS)
    for method, *texts in table.rows:
        for cell, text in zip(curve.cells, texts, strict=True):
            m = cell.of(str(method))
            assert text == (words.seconds(m.first_call) if m else words.NOTHING)


MANY = ["jaxpercep population", "vmap(grad)", "torch, one by one"]


@pytest.fixture
def populated() -> Results:
    """A run that ends with populations, which have methods of their own."""
    results = example(0)
    alone = [cell for cell in results.cells if cell.setting.workload == "xor"]
    for cell, networks in zip(alone, (1024, 64), strict=True):
        ours, *peers = cell.measurements[:3]
        setting = replace(cell.setting, networks=networks)
        times = zip((ours, *peers), MANY, strict=True)
        found = [replace(m, method=name, ratio=ours.ratio) for m, name in times]
        found[1].ratio = None
        results.cells.append(
            replace(
                cell, setting=setting, flops=1, measurements=found, absences=[], best_peer=MANY[1]
            )
        )
        results.planned.append(setting.key)
    results.ours = [*results.ours, MANY[0]]
    results.methods |= dict.fromkeys(MANY, "many networks")
    return results


def test_populations_have_a_table_of_their_own(populated: Results, tmp_path: Path) -> None:
    page = written(populated, tmp_path)
    parts = (tmp_path / "report.md").read_text("utf-8").split("\n\n")
    (spread_,) = (t for i, t in enumerate(parts) if parts[i - 1].startswith("Time per step in"))
    (own,) = (t for i, t in enumerate(parts) if "per network and step" in parts[i - 1])
    assert "networks" not in spread_
    in_own, in_spread = (
        [line.split("|")[1].strip(" *") for line in text.splitlines()[2:]]
        for text in (own, spread_)
    )
    assert in_own == MANY
    assert in_spread == list(METHODS)
    assert "skipped" not in own
    many = [cell for cell in populated.cells if cell.setting.networks]
    found = [tables.measured(populated, cell) for cell in many]
    assert {row[t.header.index("we lead after")] for t in found for row in t.rows} == {"-"}
    assert "All numbers are per network and step." in " ".join(page.text)
    assert len(fastest_standings(populated)) == len(populated.cells)


def test_the_document_shows_the_run_that_is_kept() -> None:
    root = Path(__file__).parents[2]
    kept = load(root / "benchmarks" / "results" / "default" / "results.json")
    assert (kept.profile, kept.complete) == ("default", True)
    assert kept.environment["background"] < 0.05
    text = documents.markdown(kept, contents(kept))
    assert text in (root / "docs" / "benchmarks.md").read_text("utf-8")


# The terminal.


def test_the_terminal_shows_both_sides_of_every_cell(results: Results) -> None:
    text = in_terminal(results)
    for cell in results.cells:
        own, peer = fastest(results, cell), best_peer(cell)
        assert own is not None
        assert peer is not None
        assert words.seconds(own.seconds.median) in text
        assert words.seconds(peer.seconds.median) in text
        assert tables.against_best(results, cell, own.method).text.split()[0] in text
    assert summary.status(results) in text
    assert max(map(len, text.splitlines())) <= 80


# What counts.


@pytest.mark.parametrize(
    ("ratio", "floor", "expected"),
    [
        ((0.9, 0.88, 0.92), 0.02, "faster"),
        ((1.1, 1.08, 1.12), 0.02, "slower"),
        ((1.1, 0.99, 1.2), 0.0, "no difference"),  # the interval contains 1
        ((1.1, 1.0, 1.2), 0.0, "no difference"),
        ((1.1, 1.08, 1.12), 0.1001, "no difference"),  # inside the floor
        ((0.91, 0.88, 0.92), 0.1001, "no difference"),
        ((0.5, 0.4, 0.6), 0.999, "faster"),
        ((0.5, 0.4, 0.6), 1.001, "no difference"),
        ((2.0, 1.9, 2.1), 0.999, "slower"),
        ((2.0, 1.9, 2.1), 1.001, "no difference"),
        ((0.09, 0.08, 0.1), 1.2, "faster"),  # a gain can be larger than any noise
    ],
)
def test_a_difference_leaves_interval_and_floor_behind(
    ratio: tuple[float, float, float], floor: float, expected: str
) -> None:
    assert verdict(Interval(*ratio), floor) == expected


def test_the_floor_is_the_larger_of_the_cells_and_the_runs(results: Results) -> None:
    floors = {cell.floor for cell in results.cells}
    assert min(floors) < results.floor < max(floors)
    for cell in results.cells:
        assert noise(results, cell) == max(cell.floor, results.floor)


def test_the_account_adds_up(results: Results) -> None:
    found = fastest_standings(results)
    assert len(found) == len(results.cells)
    counts = [len(having(found, v)) for v in ("faster", "slower", "no difference")]
    assert sum(counts) == len(results.cells)
    assert min(counts) > 0
    text = " ".join(summary.account(results))
    for count, phrase in zip(counts, ("leads in", "behind in", "In"), strict=True):
        assert f"{phrase} {count} of 39 cells" in text
    worst = having(found, "slower")[0]
    assert worst.ratio.median == max(one.ratio.median for one in found)
    assert f"to {words.number(worst.ratio.median)} times as long" in text
    best = having(found, "faster")[0]
    assert f"to {words.number(1 / best.ratio.median)} times as fast" in text


def test_a_single_cell_is_no_range() -> None:
    results = example(0, cells=1)
    (one,) = fastest_standings(results)
    factor, key = words.number(1 / one.ratio.median), one.cell.setting.key
    said = f"jaxpercep leads in 1 of 1 cell, {factor} times as fast (at {key})."
    assert said in summary.account(results)[0]
    assert "It is behind in 0 of 1 cell." in summary.account(results)[0]


def test_the_standings_of_each_method_add_up(results: Results) -> None:
    table = tables.by_method(results)
    assert [row[0] for row in table.rows] == OURS
    for method, *counts, _ in table.rows:
        said = [standing(results, cell, str(method)) for cell in results.cells]
        kinds = [one.verdict for one in said if one is not None]
        expected = [kinds.count(v) for v in ("faster", "no difference", "slower")]
        assert counts == [str(n) for n in expected]


def test_a_method_that_is_behind_where_another_leads_is_named(results: Results) -> None:
    rows = {str(row[0]): row for row in tables.by_method(results).rows}
    worst = max(rows, key=lambda method: int(str(rows[method][3])))
    runs_in = sum(int(str(n)) for n in rows[worst][1:4])
    said = " ".join(summary.account(results))
    assert f"{worst} is, in {rows[worst][3]} of the {runs_in} cells that it runs in." in said
    first = example(0, cells=1)
    first.cells[0].measurements = [
        m for m in first.cells[0].measurements if m.method in (OURS[3], "numpy", "torch")
    ]
    first.cells[0].best_peer = "numpy"
    assert "by itself" not in " ".join(summary.account(first))  # nothing of ours is behind


def test_where_we_are_behind_comes_first(page: Page, results: Results) -> None:
    behind = having(fastest_standings(results), "slower")
    assert len(behind) > 3
    table = tables.duels(results)
    assert len(table.rows) == len(results.cells)
    assert [row[0] for row in table.rows][: len(behind)] == [c.cell.setting.key for c in behind]
    for row, one in zip(table.rows, behind, strict=False):
        assert row[5] == tables.Entry(words.ratio(one.ratio), "slower")
        assert row[6] == words.percent(noise(results, one.cell))
        shown = one.own.to_limit
        assert row[7] == (words.number(shown.median) if shown else "-")
        assert [e.text if isinstance(e, tables.Entry) else e for e in row] in page.rows


# The parts.


def test_curves_hold_all_else_fixed(results: Results) -> None:
    seen = []
    for sweep in groups.SWEEPS:
        for curve in groups.curves(results, sweep):
            seen.append((sweep, curve.x))
            assert curve.x == sorted(set(curve.x))
            others = {"batch", "depth", "width"} - {sweep}
            for other in others:
                assert len({getattr(cell.setting, other) for cell in curve.cells}) == 1
    assert [sweep for sweep, _ in seen] == ["batch", "depth", "width"]
    assert seen[0][1] == [1, 4, 16, 64, 256, 1024, 4096, 8192]


def test_a_picture_shows_every_method_and_tells_some_apart(results: Results) -> None:
    (curve,) = groups.curves(results, "batch")
    drawings, told, ranges = curves.in_full(results, curve), [], []
    assert len(drawings) == 3  # jaxpercep's four, and ten others
    for one in drawings:
        (axes,) = one.figure.axes
        marked = [line for line in axes.get_lines() if line.get_marker() != "None"]
        assert len(axes.get_lines()) == len(marked) + len(METHODS)
        assert len({line.get_color() for line in marked}) == len(marked)
        assert len({line.get_marker() for line in marked}) == len(marked)
        assert list(marked[0].get_xdata()) == curve.x
        told += [line.get_label() for line in marked]
        ranges.append(axes.get_ylim())
        first = curve.cells[0].of(str(marked[0].get_label()))
        assert first is not None
        assert marked[0].get_ydata()[0] == first.seconds.median
    assert told == list(METHODS)
    assert ranges[1:] == [pytest.approx(ranges[0], rel=0.2)] * 2  # the pictures can be compared


def test_a_curve_is_summed_up_by_the_best_of_each_side(results: Results) -> None:
    for sweep, count in (("batch", lambda cell: cell.setting.batch), ("depth", lambda _: 1)):
        (curve,) = groups.curves(results, sweep)
        (axes,) = curves.summed_up(results, curve).figure.axes
        lines = {line.get_label(): line for line in axes.get_lines()}
        sides = {
            "jaxpercep's fastest": lambda cell: fastest(results, cell),
            "the best peer": best_peer,
            "the limit, C++": lambda cell: limit(results, cell),
        }
        for name, choose in sides.items():
            times = [choose(cell).seconds.median / count(cell) for cell in curve.cells]
            assert list(lines[name].get_ydata()) == times
        assert "every method" in lines


def test_a_tile_has_the_colour_that_the_key_says(results: Results) -> None:
    (grid,) = groups.grids(results)
    tiles, seen = heatmap.tiles(results, grid), set()
    assert tiles.keys() == grid.cells.keys()
    for cell in grid.cells.values():
        found = fastest_standing(results, cell)
        tile = tiles[cell.setting.depth, cell.setting.batch]
        assert found is not None
        assert tile.text == f"{found.ratio.median:.2f}"
        said = tile.step
        seen.add(said)
        if found.verdict == "no difference":
            assert said == "no difference"
            continue
        first, _, last = said.partition(" to ")
        low, high = (first, last) if last else ("0", "1/2") if "under" in said else ("2", "9")
        assert Fraction(low) <= found.ratio.median <= Fraction(high)
    assert len(seen) >= 3
    alone = replace(grid.cells[1, 16], best_peer=None)
    some = dataclasses.replace(grid, cells={**grid.cells, (1, 16): alone})
    assert tiles.keys() - heatmap.tiles(results, some).keys() == {(1, 16)}


def test_the_map_says_its_key(results: Results) -> None:
    (grid,) = groups.grids(results)
    texts = [text for text, _ in labels(heatmap.heat_map(results, grid))]
    assert set(palette.SCALE) <= set(texts)


def test_the_distance_to_the_limit_is_that_of_both_sides() -> None:
    some = example(0)
    for m in some.cells[0].measurements:
        m.to_limit = None
    cells = limits.with_limit(some)
    assert len(cells) == limits.ROWS
    assert some.cells[0] not in cells
    assert [cell.flops for cell in cells] == sorted(cell.flops for cell in cells)
    (axes,) = limits.distances(some, cells).figure.axes
    lines = {line.get_label(): list(line.get_xdata()) for line in axes.get_lines()}
    sides = {
        "jaxpercep's fastest": lambda cell: fastest(some, cell),
        "the best peer": best_peer,
    }
    for name, choose in sides.items():
        assert lines[name] == [choose(cell).to_limit.median for cell in cells]


def test_two_networks_are_two_curves() -> None:
    results = example(0)
    for cell in results.cells:
        if cell.setting.workload in ("regression", "classification-adam"):
            cell.setting = replace(cell.setting, sweeps=("batch",))
    titles = [curve.title for curve in groups.curves(results, "batch")]
    assert len(titles) == len(set(titles)) == 3
    assert [panel.name for panel in contents(results)[0].panels].count("batch") == 1


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1.23456, "1.23 s"),
        (0.0094, "9.40 ms"),
        (0.00009996, "100 μs"),
        (0.0009999, "1.00 ms"),
        (81e-9, "81.0 ns"),
        (81e-12, "81.0 ps"),
        (0.00000453, "4.53 μs"),
        (0.0, "0.00 s"),
        (None, "-"),
    ],
)
def test_times_have_three_digits_and_a_unit(value: float | None, text: str) -> None:
    assert words.seconds(value) == text


def test_other_numbers_have_three_digits_and_a_unit() -> None:
    assert words.bytes_(33_950_000) == "34.0 MB"
    assert words.rate(1_234_567) == "1.23 M"
    assert words.rate(12) == "12.0"
    assert words.percent(0.0321) == "3.2 %"
    assert words.whole(12_345) == "12,345"
    assert words.whole(12_345_678) == "12.3 M"
    assert words.timed(Interval(0.0094, 0.00931, 0.0102)) == "9.40 ms (9.31 ms to 10.2 ms)"
    assert words.ratio(Interval(0.62, 0.6, 1.0)) == "0.620 (0.600 to 1.00)"
    assert (words.count(1, "cell"), words.count(2, "cell")) == ("1 cell", "2 cells")


@pytest.mark.parametrize(
    ("low", "high"), [(0.97, 1.03), (0.3, 1.2), (1, 9), (3e-6, 5e-4), (1e-9, 100), (0.999, 1.001)]
)
def test_ticks_are_few_and_round(low: float, high: float) -> None:
    ticks = drawing.round_ticks(low, high)
    assert 3 <= len(ticks) <= 7
    assert low <= min(ticks) < max(ticks) <= high
    assert all(len(f"{tick:g}".strip("0").replace(".", "")) <= 6 for tick in ticks)


def test_few_ticks_over_many_decades_are_powers_of_ten() -> None:
    assert drawing.round_ticks(0.25, 70, most=4) == [1, 10]


def test_ticks_of_a_sweep_do_not_touch() -> None:
    values = [2**i for i in range(14)]
    kept = drawing.spread_ticks(values)
    assert kept[-1] == 8192
    assert 5 <= len(kept) <= 10
    assert drawing.spread_ticks([1, 4, 16, 4096, 8192]) == [1, 4, 16, 8192]
    assert drawing.spread_ticks([7]) == [7]
