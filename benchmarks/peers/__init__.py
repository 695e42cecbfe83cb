"""Lists every way to train that is timed: one small file each, and one line in `METHODS`."""

import importlib
import importlib.util
import math
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np

from benchmarks.flops import step_flops
from benchmarks.results import Absence, Reason, Setting
from benchmarks.workloads import SAMPLE, Parameters, Workload, sampled


class Preparation(NamedTuple):
    """The cost of making a step ready; None where the framework has no such phase.

    Attributes:
        trace: seconds to trace and lower.
        compile: seconds to compile.
        temporary_bytes: that the compiled program needs beside its arguments and results.
    """

    trace: float | None = None
    compile: float | None = None
    temporary_bytes: int | None = None


class Trainer(Protocol):
    """A network of one setting with its optimizer, as users of one framework train it.

    In a population, losses and parameters are those of the networks in `workloads.sampled`, with a
    leading axis of networks; and each pass may begin anew, from the first parameters.
    """

    def place(self, x: np.ndarray, y: np.ndarray) -> Any:
        """Converts the data of some steps, `[steps, batch, ...]`, for the framework; not timed."""
        ...

    def prepare(self, batches: Any) -> Preparation:
        """Traces and compiles for batches of these shapes, if there is anything to compile.

        It changes no parameters.
        """
        del batches
        return Preparation()

    def run(self, batches: Any, passes: int) -> Any:
        """Trains on every batch in order, `passes` times over.

        Returns the losses of the last pass, taken before each step's update, as the framework has
        them, once they, the parameters and the optimizer's state have all been computed.
        """
        ...

    def losses(self, result: Any) -> np.ndarray:
        """Converts what `run` returned to `[steps]` numbers."""
        ...

    def parameters(self) -> Parameters:
        """Returns copies of the present parameters."""
        ...


@dataclass(frozen=True)
class Method:
    """A way to train, found by name.

    Attributes:
        name: as tables have it.
        summary: one line.
        module: imported when it is needed; its `build(workload, setting, initial, **options)` makes
            a Trainer.
        options: keyword arguments of `build`.
        process: methods of one name share a process, others get one of their own, since thread
            pools of two frameworks would meet.
        requires: modules that have to be installed, beside those that jaxpercep needs.
        ours: whether it is jaxpercep's.
        workloads: names of those that it can train; None for all.
        least_depth: hidden layers from which on it makes sense.
        slow_to_compile: whether compiling takes several seconds whatever the network.
        limit: whether it is no framework but what the machine can do, which is told apart.
        most_flops: of a step, up to which it has a place in a cell.
        populations: whether it is for populations of networks, and not for networks alone.
        one_by_one: whether it trains the networks of a population one after the other: it is timed
            on a sample of them.
        longer: how many times as long its samples are, where each call has costs of its own.
        function: of the module, `build` unless it has several.
        compiles_with: programs of which one has to be there.
    """

    name: str
    summary: str
    module: str
    process: str
    requires: tuple[str, ...] = ()
    options: tuple[tuple[str, Any], ...] = ()
    ours: bool = False
    workloads: tuple[str, ...] | None = None
    least_depth: int = 0
    slow_to_compile: bool = False
    limit: bool = False
    most_flops: float = math.inf
    populations: bool = False
    one_by_one: bool = False
    longer: int = 1
    function: str = "build"
    compiles_with: tuple[str, ...] = ()

    def missing(self) -> list[str]:
        """Lists the modules and the programs that it requires and that are not installed."""
        missing = [name for name in self.requires if importlib.util.find_spec(name) is None]
        if self.compiles_with and not any(map(shutil.which, self.compiles_with)):
            missing.append("a compiler")
        return missing

    def not_installed(self) -> Absence | None:
        """Says which modules are missing; None if the method can run here."""
        if missing := self.missing():
            return self.absent(Reason.NOT_INSTALLED, f"not installed: {', '.join(missing)}")
        return None

    def unsuitable(self, setting: Setting) -> Absence | None:
        """Says why the method has no place in a cell of this setting; None if it has one."""
        if self.populations != (setting.networks is not None):
            kind = "populations" if self.populations else "networks alone"
            return self.absent(Reason.OTHER_KIND, f"it is for {kind}")
        if self.workloads is not None and setting.workload not in self.workloads:
            return self.absent(Reason.UNSUITABLE, f"it cannot train {setting.workload}")
        if setting.depth < self.least_depth:
            detail = f"it is for {self.least_depth} hidden layers or more"
            return self.absent(Reason.UNSUITABLE, detail)
        if step_flops(setting) > self.most_flops:
            return self.absent(Reason.UNSUITABLE, "plain loops are not the limit of large products")
        return None

    def networks(self, setting: Setting) -> int:
        """Returns how many networks it trains in a cell of this setting."""
        count = setting.networks or 1
        return len(sampled(count)) if self.one_by_one else count

    def absent(self, reason: Reason, detail: str) -> Absence:
        """Returns the absence of this method."""
        return Absence(self.name, reason, detail)

    def build(self, workload: Workload, setting: Setting, initial: Parameters) -> Trainer:
        """Builds a trainer that starts from these parameters."""
        module = importlib.import_module(self.module)
        build = getattr(module, self.function)
        return build(workload, setting, initial, **dict(self.options))


COMPILERS = ("c++", "g++", "clang++")

DEEP = 16
"""Hidden layers from which on compiling them one by one is what takes long."""


def _jaxpercep(name: str, summary: str, least_depth: int = 0, **options: Any) -> Method:
    module, pairs = f"{__name__}.jaxpercep_steps", tuple(options.items())
    return Method(name, summary, module, "jax", options=pairs, ours=True, least_depth=least_depth)


METHODS: Sequence[Method] = (
    _jaxpercep("jaxpercep autodiff", "jp.make_step, gradients by jax.grad", method="autodiff"),
    _jaxpercep("jaxpercep manual", "jp.make_step, gradients by hand", method="manual"),
    _jaxpercep(
        "jaxpercep autodiff, one program",
        "the same step, scanned over the batches in one call",
        method="autodiff",
        one_program=True,
    ),
    _jaxpercep(
        "jaxpercep manual, one program",
        "the same step, scanned over the batches in one call",
        method="manual",
        one_program=True,
    ),
    _jaxpercep(
        "jaxpercep manual, repeated",
        "gradients by hand, the hidden layers in a jp.Repeat, which is compiled once for all",
        method="manual",
        repeated=True,
        least_depth=DEEP,
    ),
    Method(
        "jaxpercep fit",
        "jp.fit, what users call: shuffles, keeps every loss, can be interrupted; by hand",
        f"{__name__}.jaxpercep_steps",
        "jax",
        function="build_fit",
        ours=True,
        longer=10,
    ),
    Method(
        "c++",
        "the limit: the same step in plain C++, compiled for the cell, on one core",
        f"{__name__}.cpp",
        "c++",
        compiles_with=COMPILERS,
        limit=True,
        most_flops=2e6,
    ),
    Method("numpy", "by hand, in place", f"{__name__}.numpy_by_hand", "numpy"),
    Method("optax", "plain jax.numpy and optax", f"{__name__}.optax_plain", "jax"),
    Method(
        "optax, one program",
        "the same step, scanned over the batches in one call",
        f"{__name__}.optax_plain",
        "jax",
        options=(("one_program", True),),
    ),
    Method(
        "optax, repeated",
        "the same step, with a scan over the hidden layers, which is compiled once for all",
        f"{__name__}.optax_plain",
        "jax",
        options=(("repeated", True),),
        least_depth=DEEP,
    ),
    Method("flax linen", "a Sequential in a TrainState", f"{__name__}.flax_linen", "jax"),
    Method(
        "flax nnx (nnx.jit)",
        "modules and nnx.Optimizer, with nnx.cached_partial",
        f"{__name__}.flax_nnx",
        "jax",
        options=(("jit", "nnx"),),
    ),
    Method(
        "flax nnx (jax.jit)",
        "the same modules in a functional loop, with nnx.split and nnx.merge",
        f"{__name__}.flax_nnx",
        "jax",
        options=(("jit", "jax"),),
    ),
    Method(
        "equinox",
        "filter_jit and filter_value_and_grad",
        f"{__name__}.equinox_filtered",
        "jax",
        requires=("equinox",),
    ),
    Method(
        "torch",
        "eager, fused optimizer",
        f"{__name__}.pytorch",
        "torch",
        requires=("torch",),
    ),
    Method(
        "torch.compile",
        "model and loss compiled with their backward pass, fused optimizer",
        f"{__name__}.pytorch",
        "torch",
        requires=("torch",),
        options=(("compiled", True),),
        slow_to_compile=True,
    ),
    Method(
        "scikit-learn",
        "MLPClassifier or MLPRegressor, a partial_fit for each batch",
        f"{__name__}.sklearn_mlp",
        "scikit-learn",
    ),
    Method(
        "jaxpercep population",
        "jp.train_population, by hand",
        f"{__name__}.populations",
        "jax",
        ours=True,
        populations=True,
        workloads=("xor",),
    ),
    Method(
        "vmap(grad)",
        "jax.vmap of jax.value_and_grad in plain JAX, all steps in one program",
        f"{__name__}.populations",
        "jax",
        function="build_vmap",
        populations=True,
        workloads=("xor",),
    ),
    Method(
        "torch, one by one",
        f"eager, one network after the other on one core, timed on {SAMPLE} and scaled",
        f"{__name__}.pytorch",
        "torch",
        requires=("torch",),
        function="build_one_by_one",
        populations=True,
        workloads=("xor",),
        one_by_one=True,
    ),
)
"""In the order of the tables."""
