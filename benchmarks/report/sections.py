"""The sections of the page, in order."""

from benchmarks.report import groups, overviews, payback, sweeps, tables, words
from benchmarks.report.environment import flat
from benchmarks.report.section import Block, Section
from benchmarks.report.summary import account
from benchmarks.report.tables import Table
from benchmarks.report.verdicts import fastest_standing
from benchmarks.results import Cell, Results

LONG = 200
"""A fact with more characters, such as the flags of a CPU, is folded."""


def contents(results: Results) -> list[Section]:
    """Returns the sections that have something to show."""
    found = [
        summary(results),
        methods(results),
        machine(results),
        absent(results),
        *(sweeps.sweep(results, name) for name in groups.SWEEPS),
        overviews.grid(results),
        sweeps.compile_time(results),
        sweeps.peak(results),
        overviews.floor(results),
        break_even(results),
        goals(results),
        cells(results),
    ]
    return [section for section in found if any(map(_shows, section.blocks))]


def _shows(block: Block) -> bool:
    return bool(block.account or block.panels or block.tables)


def summary(results: Results) -> Section:
    """Sums up the run for a reader in a hurry."""
    shown = [tables.by_method(results), tables.behind(results), tables.limits(results)]
    block = Block("", account(results), overviews.against_peers(results), tables.filled(shown))
    return Section("summary", "Where jaxpercep leads, and where it does not", [], [block])


def methods(results: Results) -> Section:
    """Describes each method."""
    rows = list(results.methods.items())
    header, marked = ["method", "description"], tables.ours(results, rows)
    table = Table("jaxpercep's are marked", header, rows, long=(1,), marked=marked)
    return Section("methods", "Methods compared", [], [Block("", tables=[table])])


def machine(results: Results) -> Section:
    """Lists the command, the machine, and everything recorded about it."""
    facts = {
        "command": results.command,
        "profile": results.profile,
        "started": results.started,
        "seed": str(results.seed),
        "matrix-product peak, float32": f"{words.number(results.peak_gflops)} GFLOP/s",
        "copy bandwidth": f"{words.bytes_(results.copy_bandwidth)}/s",
        **flat(results.environment),
    }
    short = [(name, value) for name, value in facts.items() if len(value) <= LONG]
    long = [(name, value) for name, value in facts.items() if len(value) > LONG]
    header = ["fact", "value"]
    blocks = [Block("", tables=[Table("As recorded", header, short, long=(1,))])]
    if long:
        table = Table("As recorded", header, long, long=(1,))
        blocks.append(Block(", ".join(name for name, _ in long), tables=[table], folded=True))
    return Section("machine", "Machine and command", [], blocks)


def absent(results: Results) -> Section:
    """Lists what was not measured, and why."""
    measured = {cell.setting.key for cell in groups.measured(results)}
    missing = [[key] for key in results.planned if key not in measured]
    blocks = [Block("", tables=tables.filled([tables.absences(results)]))]
    if missing:
        planned = words.count(len(results.planned), "planned cell")
        title = f"{len(missing)} of {planned} without a measurement"
        blocks.append(Block(title, tables=[Table("As planned", ["cell"], missing)], folded=True))
    text = ["A method is refused if its losses or parameters do not match float64 truth."]
    return Section("absent", "What was left out", text, blocks)


def break_even(results: Results) -> Section:
    """Shows after how many steps the compile time is recovered."""
    details = [
        Block(method, tables=[table], folded=True)
        for method, table in payback.break_even_tables(results).items()
    ]
    text = [
        "A method that compiles starts late. The tables count the steps after which it is ahead of "
        "a peer, with the first calls of both included. 0: from the first call. Never: the peer's "
        "steps are faster as well."
    ]
    blocks = [Block("", tables=tables.filled([payback.break_even_summary(results)])), *details]
    return Section("break-even", "Break-even", text, blocks)


def goals(results: Results) -> Section:
    """Shows the time to a given accuracy or loss."""
    text = [
        "Training on digits until the target is met. A larger batch cannot flatter this number: it "
        "needs fewer steps, but longer ones. Evaluating the target is not timed."
    ]
    block = Block("", tables=payback.goal_tables(results))
    return Section("goals", "Time to accuracy", text, [block])


def cells(results: Results) -> Section:
    """Shows every number of every cell, folded."""
    blocks = [Block("", tables=tables.filled([tables.duels(results)]))]
    for listing in groups.once(groups.listings(results)):
        blocks += [_cell(results, cell) for _, cell in listing.cells]
    text = [
        "Times are medians with 95 % bootstrap intervals. The ratio is paired: a time over that of "
        "the cell's best peer in the same round; below 1 is faster. Error is the largest deviation "
        "from float64 truth, relative to the distance that the parameters moved."
    ]
    return Section("cells", "Every cell", text, blocks)


_OUTCOMES = {
    "faster": "jaxpercep leads",
    "slower": "jaxpercep is behind",
    "no difference": "no difference",
}


def _cell(results: Results, cell: Cell) -> Block:
    said = [f"{words.number(cell.flops / 1e6)} MFLOP and {words.bytes_(cell.bytes)} per step."]
    if cell.setting.networks is not None:
        said.append("All numbers are per network and step.")
    if cell.null is not None:
        said.append(f"A/A ratio of {cell.null_method}: {words.ratio(cell.null)}.")
    said += [f"{a.method}: {a.kind}: {a.detail}." for a in cell.absences]
    said += [f"{note[:1].upper()}{note[1:]}." for note in cell.notes]
    found = fastest_standing(results, cell)
    title = f"{cell.setting.key}: {_OUTCOMES[found.verdict] if found else 'no peer'}"
    return Block(title, said, tables=[tables.measured(results, cell)], folded=True)
