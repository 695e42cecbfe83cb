"""The sections with curves: the sweeps, compile time, percent of peak."""

from collections.abc import Callable, Sequence

from benchmarks.report import groups, words
from benchmarks.report.groups import Curve, Sweep
from benchmarks.report.palette import LINES
from benchmarks.report.plots import Quantity, Reference, panel
from benchmarks.report.section import Block, Panel, Section
from benchmarks.report.verdicts import fastest, noise
from benchmarks.results import Cell, Interval, Measurement, Results


def _per_sample(cell: Cell, measurement: Measurement) -> Interval:
    s, batch = measurement.seconds, cell.setting.batch
    return Interval(s.median / batch, s.low / batch, s.high / batch)


def _percent(m: Measurement) -> float | None:
    return None if m.peak_fraction is None else 100 * m.peak_fraction


def _compile(m: Measurement) -> float | None:
    return None if m.compile is None else m.compile + (m.trace or 0.0)


STEP = Quantity("time per step", words.tick, lambda _, m: m.seconds)
SAMPLE = Quantity("time per sample", words.tick, _per_sample)
RATIO = Quantity("time / time of the best peer", "{:g}".format, lambda _, m: m.ratio)
PEAK = Quantity("% of the matrix-product peak", "{:g}".format, lambda _, m: _percent(m))
COMPILE = Quantity("time to trace and compile", words.tick, lambda _, m: _compile(m))
BEST = Reference("the best peer of each cell", lambda cell: cell.of(cell.best_peer or ""))


def sweep(results: Results, name: Sweep) -> Section:
    """Shows one sweep as curves: jaxpercep's methods, their ratio to the best peer, the peers."""
    quantity = SAMPLE if name == "batch" else STEP
    reference = Reference("jaxpercep's fastest", lambda cell: fastest(results, cell))
    blocks = []
    for curve in groups.curves(results, name):
        ours, peers = _split(results, curve, quantity)
        compared, _ = _split(results, curve, RATIO)
        ratio = "jaxpercep beside the best peer"
        panels = [
            *_panels("jaxpercep", curve, quantity, ours, peers, BEST),
            *_panels(ratio, curve, RATIO, compared, floor=lambda cell: noise(results, cell)),
            *_panels("Peers", curve, quantity, peers, ours, reference),
        ]
        blocks.append(Block(curve.title, panels=panels))
    return Section(name, f"{name.capitalize()} sweep", [_SWEEPS[name]], blocks)


_SWEEPS = {
    "batch": "Time per sample against batch size, with the network fixed.",
    "depth": "Time per step against the number of hidden layers, with width and batch fixed.",
    "width": "Time per step against the width of the hidden layers, with depth and batch fixed.",
}


def compile_time(results: Results) -> Section:
    """Shows compile time against depth."""
    blocks = []
    for curve in groups.curves(results, "depth"):
        ours, peers = _split(results, curve, COMPILE)
        panels = [
            *_panels("jaxpercep", curve, COMPILE, ours, peers),
            *_panels("Peers", curve, COMPILE, peers, ours),
        ]
        blocks.append(Block(curve.title, panels=panels))
    account = ["Tracing and compiling happen once. Methods that do not compile are not shown."]
    return Section("compile", "Compile time against depth", account, blocks)


def peak(results: Results) -> Section:
    """Shows the percentage of the machine's matrix-product peak along every curve."""
    panels: list[Panel] = []
    for name in groups.SWEEPS:
        for curve in groups.curves(results, name):
            ours, peers = _split(results, curve, PEAK)
            panels += _panels(f"{curve.title}, by {name}", curve, PEAK, ours, peers, BEST)
    account = [
        f"The peak is {words.number(results.peak_gflops)} GFLOP/s: large float32 matrix products, "
        "measured on this machine in this run. Operations are counted by formula; the gradient of "
        "the network's input, which training does not need, is not counted."
    ]
    return Section("peak", "Percent of peak", account, [Block("", panels=panels)])


def _panels(
    caption: str,
    curve: Curve,
    quantity: Quantity,
    methods: Sequence[str],
    others: Sequence[str] = (),
    reference: Reference | None = None,
    floor: Callable[[Cell], float] | None = None,
) -> list[Panel]:
    """Draws as many panels as it takes to tell the methods apart, each with about as many."""
    count = -(-len(methods) // LINES)
    found = []
    for i in range(count):
        size = -(-len(methods) // count)
        shown = methods[i * size : (i + 1) * size]
        rest = [m for m in methods if m not in shown] + list(others)
        title = caption if count == 1 else f"{caption}, {i + 1} of {count}"
        found.append(Panel(title, panel(curve, quantity, shown, rest, reference, floor)))
    return found


def _split(results: Results, curve: Curve, quantity: Quantity) -> tuple[list[str], list[str]]:
    """Returns jaxpercep's methods, and the peers, that have a number on the curve."""
    known = [
        method
        for method in results.methods
        if any(quantity.of(c, m) is not None for c in curve.cells if (m := c.of(method)))
    ]
    ours = [method for method in known if method in results.ours]
    return ours, [method for method in known if method not in ours]
