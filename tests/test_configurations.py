"""The library works however JAX is configured; each configuration in a process of its own."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PROGRAM = """
import jax, optax, jaxpercep as jp
data = jp.datasets.logic_gate("XOR")
block = jp.Residual(jp.Serial(jp.LayerNorm(3), jp.Dense(3, 3), jp.gelu))
model = jp.Serial(jp.Dense(2, 3), jp.Repeat(block, 2), jp.Dense(3, 1))
for loss in (jp.SquaredError(), jp.BinaryCrossEntropy()):
    optimizer = optax.sgd(1e-3)
    state = jp.init_state(model, optimizer, jax.random.key(0))
    assert jp.compare_model(model, loss, state.params, data.x, data.y).verdict == "match"
    losses = [
        jp.fit(model, loss, optimizer, state, data.x, data.y, steps=3, method=method)[1].loss
        for method in ("autodiff", "manual")
    ]
    assert abs(losses[0] - losses[1]).max() < 1e-5 < abs(losses[0][0] - losses[0][2])
"""


@pytest.mark.parametrize(
    "setting",
    ["JAX_ENABLE_X64=1", "JAX_NUMPY_RANK_PROMOTION=raise", "JAX_NUM_CPU_DEVICES=8"],
)
def test_training_and_comparing_under(setting):
    name, value = setting.split("=")
    environment = {**os.environ, name: value, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
