"""The cells and the limits of a run: one profile each for quick, default and full."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from msgspec import structs

from benchmarks.flops import step_flops
from benchmarks.peers import Method
from benchmarks.results import Absence, Reason, Setting

FEATURES, CLASSES = 64, 10  # of the classification, those of scikit-learn's digits
WIDTH, DEPTH, BATCH = 128, 4, 64  # what a sweep holds fixed
SMALLEST, DEEPER = XOR = Setting("xor", (2, 2, 1), 4), Setting("xor", (2, 10, 10, 10, 1), 4)
PUBLISHED = (  # the sizes of the examples of SimpleChains.jl, a Julia library for small networks
    Setting("classification", (24, 8, 2), 200),
    Setting("classification", (4, 32, 16, 4), 64),
    Setting("classification", (4, 32, 16, 4), 10_000),
)

OUT_OF_TIME = "the run's time limit was reached"

REPEATS = 2
"""Rounds of each block but the first."""

CONTROLS = "optax, one program", "vmap(grad)"
"""Peers that are in every block: what they show is not jaxpercep's doing."""


@dataclass(frozen=True)
class Profile:
    """The extent of a run, and its care.

    Attributes:
        name: `"quick"`, `"default"` or `"full"`.
        settings: the cells, in the order in which they are measured.
        seconds: time limit of the run.
        rounds: of the sampling, at most, in the first block.
        blocks: how often cells are measured, each time in new processes: no two run equally fast.
        sample: least seconds of a sample.
        first_call: seconds that compiling and the first call may take; a method that is expected to
            take longer is skipped.
        patience: seconds after which a call is ended.
        memory: cells, by key, in which each method also trains in a fresh process.
        dispatch: (workload, depth) of the cells for which dispatch is measured.
        compiling: cells, by key, in which methods that are slow to compile are measured.
        goals: (batch, learning rate) at which the time to an accuracy is measured, on digits.
    """

    name: str
    settings: tuple[Setting, ...]
    seconds: float
    rounds: int
    blocks: int = 3
    sample: float = 0.01
    first_call: float = 8
    patience: float = 60
    memory: frozenset[str] = frozenset()
    dispatch: frozenset[tuple[str, int]] = frozenset()
    compiling: frozenset[str] = frozenset()
    goals: tuple[tuple[int, float], ...] = ()

    def has_dispatch(self, setting: Setting) -> bool:
        """Returns whether dispatch is measured in a cell."""
        alone = setting.networks is None
        return alone and (setting.workload, setting.depth) in self.dispatch

    def planned(self, setting: Setting, methods: Sequence[Method]) -> list[Method]:
        """Returns the methods that have a place in a cell."""
        return [method for method in methods if left_out(self, method, setting) is None]

    def with_methods(self, methods: Sequence[Method]) -> "Profile":
        """Returns the profile without the cells in which none of the methods has a place."""
        return replace(self, settings=tuple(s for s in self.settings if self.planned(s, methods)))


def quick() -> Profile:
    """Plans a first impression: small networks, and two batches and depths of a larger one.

    On a machine half as fast as two server cores it ends within 3 minutes, perhaps without the last
    cells: the limit leaves time for the imports and the report, which it does not count.
    """
    settings = merged(
        [
            *XOR,
            *networks("batch", batches=[1, BATCH]),
            *networks("depth", depths=[1, DEPTH]),
            *networks("grid", batches=[1, BATCH]),
            *networks("grid", depths=[1]),
        ]
    )
    return Profile("quick", settings, seconds=145, rounds=6, blocks=1)


def default() -> Profile:
    """Plans short curves, a coarse grid, small networks, and the rest at a point.

    A slow compiler takes 10 s a cell, dispatch another program for each method, and peak memory a
    fresh process, a minute a cell and more: this run measures the first two in a few cells.
    """
    settings = merged(
        [
            *networks("batch", batches=[1, 8, BATCH, 512, 4096]),
            *networks("depth", depths=[1, DEPTH, 16, 64, 512]),
            *networks("width", widths=[16, WIDTH, 256, 1024]),
            *XOR,
            *PUBLISHED,
            *networks(depths=[2], widths=[8, 16, 32], batches=[1, 8, BATCH]),
            *populations(SMALLEST, [1, 64, 1024, 65_536]),
            *populations(DEEPER, [1024]),
            *networks("grid", depths=[1, DEPTH, 16], batches=[1, BATCH, 512]),
            *networks("grid", batches=[8, 4096]),
            *networks("grid", depths=[64, 512]),
            *networks(workload="classification-adam"),
            *networks(workload="regression"),
        ]
    )
    return Profile(
        name="default",
        settings=settings,
        seconds=1180,
        rounds=4,
        dispatch=frozenset([("classification", 2), ("classification", DEPTH), ("xor", 1)]),
        compiling=_keys([*networks(batches=[BATCH, 4096]), SMALLEST]),
        goals=((64, 0.2),),
    )


def full() -> Profile:
    """Plans every power of two, a fine grid, and curves of the other workloads too."""
    depths = [1, 2, 4, 8, 16, 32, 64, 512]
    coarse = [4**i for i in range(7)]
    settings = merged(
        [
            *networks("batch", batches=[2**i for i in range(14)]),
            *networks("depth", depths=depths),
            *networks("width", widths=[16, 32, 64, 128, 256, 512, 1024]),
            *networks("grid", depths=depths[:7:2], batches=coarse),
            *networks("batch", workload="classification-adam", batches=coarse[::2]),
            *networks("batch", workload="regression", batches=coarse[::2]),
            *XOR,
            *PUBLISHED,
            *networks(depths=[2], widths=[8, 16, 32], batches=[1, 4, 8, 16, BATCH]),
            *populations(SMALLEST, [1, 8, 64, 512, 1024, 8192, 65_536]),
            *populations(DEEPER, [1, 64, 1024, 8192]),
        ]
    )
    return Profile(
        name="full",
        settings=settings,
        seconds=3540,
        rounds=5,
        sample=0.02,
        first_call=30,
        patience=90,
        memory=_keys([*networks(batches=[1, 8192]), *networks(depths=[1, 16, 64])]),
        # Of deeper ones, all methods would be compiled again for little.
        dispatch=frozenset((s.workload, s.depth) for s in settings if s.depth <= 64),
        compiling=_keys(s for s in settings if "batch" in s.sweeps),
        goals=((16, 0.05), (64, 0.2), (256, 0.8)),
    )


PROFILES: dict[str, Callable[[], Profile]] = {"quick": quick, "default": default, "full": full}


def networks(
    *sweeps: str,
    workload: str = "classification",
    depths: Sequence[int] = (DEPTH,),
    widths: Sequence[int] = (WIDTH,),
    batches: Sequence[int] = (BATCH,),
) -> list[Setting]:
    """Returns a network of each depth and width on each batch size, as points of these sweeps."""
    first, last = (16, 1) if workload == "regression" else (FEATURES, CLASSES)
    return [
        Setting(workload, (first, *(width,) * depth, last), batch, sweeps)
        for depth in depths
        for width in widths
        for batch in batches
    ]


def populations(setting: Setting, counts: Sequence[int]) -> list[Setting]:
    """Returns populations of a network, of so many each."""
    return [structs.replace(setting, networks=count) for count in counts]


def merged(settings: Iterable[Setting]) -> tuple[Setting, ...]:
    """Keeps each setting once, with all the sweeps it was given for, in order of appearance."""
    found: dict[str, Setting] = {}
    for setting in settings:
        sweeps = found[setting.key].sweeps if setting.key in found else ()
        sweeps = tuple(dict.fromkeys((*sweeps, *setting.sweeps)))
        found[setting.key] = structs.replace(setting, sweeps=sweeps)
    return tuple(found.values())


def distinct_batches(setting: Setting) -> int:
    """Returns how many batches a method cycles through and is checked on: 8, fewer of large ones.

    At least 2, so that the second one sees the update of the first one. A population is trained
    anew each time, for more steps, so that the start of a training is not what is timed.
    """
    if setting.networks is not None:
        return min(2048, max(64, int(1e9 / step_flops(setting) / setting.networks)))
    return min(8, max(2, int(1e9 / step_flops(setting))))


def goal_setting(batch: int) -> Setting:
    """Returns the network trained to an accuracy: one small hidden layer is enough for digits."""
    return Setting("classification", (FEATURES, 64, CLASSES), batch)


def smallest(setting: Setting) -> Setting:
    """Returns the setting of the same depth with the least to compute: two features, one sample."""
    if setting.workload == "xor":
        return Setting("xor", (2, *(1,) * setting.depth, 1), setting.batch)
    outputs = 1 if setting.workload == "regression" else 3  # of two classes, scikit-learn makes one
    return Setting(setting.workload, (*(2,) * (setting.depth + 1), outputs), 1)


def left_out(profile: Profile, method: Method, setting: Setting) -> Absence | None:
    """Says why a method is not planned for a cell, on any machine; None if it is."""
    if absence := method.unsuitable(setting):
        return absence
    if not method.slow_to_compile or setting.key in profile.compiling:
        return None
    count = len(profile.compiling)
    cells = f"{count or 'no'} cell{'s' if count > 1 else ''}"
    detail = f"it compiles for several seconds: a {profile.name} run does so in {cells}"
    return method.absent(Reason.SLOW_TO_COMPILE, detail)


def repeated(method: Method, best: str | None) -> bool:
    """Returns whether a method is in every block of a cell: ours, and those it is compared with."""
    return method.ours or method.limit or method.name in (*CONTROLS, best)


def _keys(settings: Iterable[Setting]) -> frozenset[str]:
    return frozenset(setting.key for setting in settings)
