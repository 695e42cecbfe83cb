"""Layers in a tree of flax parameters, in the order of application as far as it is known.

A tree of parameters does not tell the order in which its layers are applied: JAX sorts the keys of
a dict, and flax the attributes of a module that it has copied. Numbers tell it. Of siblings that
differ only by a number (`Dense_9` and `Dense_10`, `layers_0` and `layers_2`, the items of a list)
the smaller comes first. Between others (`Dense_0` and `LayerNorm_0`, `hidden` and `out`) nothing is
known unless `order` gives it.
"""

from collections import defaultdict, deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, TypeAlias

from jaxpercep import _checks

Path: TypeAlias = tuple[str, ...]
"""Names from the root of a tree down to a layer."""

_PARAMETERS = ({"kernel"}, {"kernel", "bias"}, {"scale"}, {"bias"}, {"scale", "bias"})
"""Flax's names of the parameters of Dense (nnx: Linear) and of LayerNorm, whole or in part."""


@dataclass(frozen=True)
class Leaf:
    """An array of the tree: its place among the leaves, and its shape."""

    place: int
    shape: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class FlaxLayer:
    """A Dense (Linear) or LayerNorm of flax, with the places of its parameters.

    `epsilon` is that of a LayerNorm in an nnx module, or None if it is not known.
    """

    path: Path
    leaves: dict[str, Leaf]
    epsilon: float | None = None

    def __str__(self) -> str:
        epsilon = "" if self.epsilon is None else f", epsilon={self.epsilon}"
        return f"{self.name!r} with {shown(self.shapes)}{epsilon}"

    @property
    def name(self) -> str:
        """Reads `blocks/0/linear`."""
        return joined(self.path)

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Parameter -> its shape."""
        return {name: leaf.shape for name, leaf in self.leaves.items()}


class FlaxLayers:
    """All layers of a tree; `heads` returns those that may be applied next, until they are taken.

    Args:
        tree: nested mappings with a `Leaf` for every array.
        order: names of layers, or of modules that contain them, in the order of application; None
            if the numbers in the names suffice.
        epsilons: the epsilon of each LayerNorm for which it is known.

    Raises:
        TypeError: A leaf of the tree is not an array, or `order` is not a sequence of strings.
        ValueError: jaxpercep has no such layer, or `order` does not fit the tree.
    """

    def __init__(
        self,
        tree: Mapping[Any, Any],
        order: Sequence[str] | None,
        epsilons: Mapping[Path, float] = MappingProxyType({}),
    ) -> None:
        self.all = list(_read(tree, (), epsilons))
        ranks = [()] * len(self.all) if order is None else _ranks(self.all, order)
        self._tree = _sorted([(rank + f.path, f) for rank, f in zip(ranks, self.all, strict=True)])
        self._taken: set[FlaxLayer] = set()

    def heads(self) -> list[FlaxLayer]:
        """Returns the layers that are not known to come after another one."""
        return _heads(self._tree, self._taken)

    def take(self, layer: FlaxLayer) -> None:
        """Marks the layer as applied."""
        self._taken.add(layer)

    def left(self) -> list[FlaxLayer]:
        """Returns the layers that were not taken."""
        return [layer for layer in self.all if layer not in self._taken]


def joined(path: Sequence[object]) -> str:
    """Reads `blocks/0/linear`."""
    return "/".join(map(str, path)) or "(root)"


def shown(shapes: Mapping[str, tuple[int, ...]]) -> str:
    """Reads `kernel [2, 3], bias [3]`."""
    return ", ".join(f"{name} {list(shapes[name])}" for name in sorted(shapes, reverse=True))


def unsupported(layer: str, what: str) -> ValueError:
    """Returns the error for a flax layer that has no counterpart."""
    return ValueError(
        f"flax layer {layer!r} ({what}) has no counterpart: jaxpercep has Dense (kernel, bias) and "
        "LayerNorm (scale, bias). Leave it in flax, wrapped in AutodiffLayer(init, apply)."
    )


def _read(
    tree: Mapping[Any, Any], path: Path, epsilons: Mapping[Path, float]
) -> Iterator[FlaxLayer]:
    leaves: dict[str, Leaf] = {}
    for key, value in tree.items():
        inner = (*path, str(key))
        if isinstance(value, Leaf):
            leaves[str(key)] = value
        elif isinstance(value, Mapping):
            yield from _read(value, inner, epsilons)
        else:
            raise TypeError(
                f"{joined(inner)} is a {type(value).__name__}, not an array; if flax has "
                "boxed it, pass flax.linen.unbox(variables)."
            )
    if leaves:
        layer = FlaxLayer(path, leaves, epsilons.get(path))
        if set(leaves) not in _PARAMETERS or len(leaves) < len(tree):
            raise unsupported(layer.name, shown(layer.shapes))
        yield layer


def _ranks(layers: list[FlaxLayer], order: Sequence[str]) -> list[Path]:
    """Returns the place in the order of each layer, or of a module around it, as a path head."""
    named = isinstance(order, Sequence) and all(isinstance(name, str) for name in order)
    if isinstance(order, str) or not named:
        raise TypeError(f"order={_checks.shown(order)}: expected names, ['first', 'second', ...].")
    ranks: list[Path] = []
    for layer in layers:
        found = [str(i) for i, name in enumerate(order) if f"{layer.name}/".startswith(f"{name}/")]
        if len(found) != 1:
            raise ValueError(
                f"order={list(order)} has {layer.name!r} {len(found)} times, expected once: name "
                f"all of {', '.join(layer.name for layer in layers)}, or the modules they are in."
            )
        ranks.append((found[0],))
    return ranks


_Sorted: TypeAlias = "FlaxLayer | list[deque[_Sorted]]"
"""A layer, or groups of siblings in order; the order between groups is not known."""


def _sorted(layers: list[tuple[Path, FlaxLayer]]) -> _Sorted:
    groups: dict[Any, dict[str, Any]] = defaultdict(lambda: defaultdict(list))
    for path, layer in layers:
        if not path:
            return layer
        stem = path[0].rstrip("0123456789")
        number = path[0].removeprefix(stem)
        groups[stem, number != ""][number].append((path[1:], layer))
    return [
        deque(_sorted(group[number]) for number in sorted(group, key=lambda text: int(text or 0)))
        for group in groups.values()
    ]


def _heads(tree: _Sorted, taken: set[FlaxLayer]) -> list[FlaxLayer]:
    if isinstance(tree, FlaxLayer):
        return [] if tree in taken else [tree]
    found: list[FlaxLayer] = []
    for group in tree:
        while group and not (heads := _heads(group[0], taken)):
            group.popleft()
        found += heads if group else []
    return found
