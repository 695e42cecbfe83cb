"""The messages between a run and its worker processes: tasks, answers, and errors."""

from typing import NamedTuple

from benchmarks.peers import Method, Preparation
from benchmarks.results import Program, Reason, Setting
from benchmarks.workloads import Floats, Parameters, Workload


class Task(NamedTuple):
    """A method with the network and data to train.

    Attributes:
        method: the way to train.
        workload: activation, loss, optimizer and data.
        setting: the network, and the samples a step.
        steps: the number of batches to cycle through.
        seed: of the data and the first parameters.
    """

    method: Method
    workload: Workload
    setting: Setting
    steps: int
    seed: int


class Built(NamedTuple):
    """A method that is ready, after its first steps.

    Attributes:
        preparation: the cost of compiling.
        program: what XLA has compiled, if anything.
        first_call: seconds from the built model to the end of the first call.
        losses: `[steps]` of the first steps, one on each batch.
        parameters: after them.
    """

    preparation: Preparation
    program: Program | None
    first_call: float
    losses: Floats
    parameters: Parameters


class CallError(Exception):
    """A call to a worker that had no result.

    Attributes:
        detail: one line.
        ended: whether the process is gone, and with it all that was built there.
        reason: how it bears on the method: it failed, or gave no answer in time.
    """

    def __init__(self, detail: str, *, ended: bool = False, reason: Reason = Reason.FAILED) -> None:
        super().__init__(detail)
        self.detail, self.ended, self.reason = detail, ended, reason
