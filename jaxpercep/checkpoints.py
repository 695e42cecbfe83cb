"""Saves models with their parameters and loads them: whole or not at all, and never by pickle.

A saved model is a folder of two files. `model.json` holds the layers with their hyperparameters,
the name and SHA-256 of the other file, and a SHA-256 of all that; the other file holds the
parameters, as `numpy.load` reads them. It has a new name at every save, so the model that was there
before stays whole until the new `model.json` takes the place of the old one.
"""

import hashlib
import importlib.metadata
import secrets
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple

import jax

from jaxpercep._architecture import built, described
from jaxpercep._checks import as_path
from jaxpercep._extras import needed_by
from jaxpercep._files.writing import write_whole
from jaxpercep.layer import Layer, Params, check_layer

with needed_by("jaxpercep.save"):
    import msgspec

    from jaxpercep._files import parameters
    from jaxpercep._files.json import decode_json
    from jaxpercep._files.saved import (
        DESCRIPTION,
        VERSION,
        Content,
        Document,
        check_replaceable,
        leftovers,
        read_description,
    )

# What msgspec, the layers and JAX raise for a description that `save` did not write.
_DAMAGES = (
    LookupError,
    TypeError,
    ValueError,
    AttributeError,
    ArithmeticError,
    RuntimeError,
    SyntaxError,  # by NumPy, for the name of a dtype
)


class Saved(NamedTuple):
    """A model, its parameters, and as JSON what its writer says about them (`null` if nothing)."""

    model: Layer
    params: Params
    about: bytes


def save(folder: str | PathLike[str], model: Layer, params: Params) -> None:
    """Writes a model and its parameters to a folder, from which `load` reads them bit for bit.

    A model that is saved there already is replaced, at once, when the new one is complete.

    Args:
        folder: a folder that is missing, empty, or written by an earlier `save`.
        model: a model of the library's layers and activations.
        params: its parameters, in float32, float64, float16 or bfloat16.

    Raises:
        ValueError: There is something else at `folder`; a layer is not the library's own, or an
            initializer is a function; or the parameters are not of this model.
        TypeError: An argument is of the wrong kind, or `save` is called under `jit` or `vmap`.
        OSError: The folder cannot be written.
    """
    path = as_path("folder", folder)
    check_layer("model", model)
    write(path, model, params)


def load(folder: str | PathLike[str]) -> tuple[Layer, Params]:
    """Reads the (model, params) that `save` or `jaxpercep train` wrote.

    Raises:
        ValueError: There is no such model at `folder`, or one of another version of the format; a
            file is damaged, missing or of another model; or the parameters are float64 and JAX does
            not hold that.
        TypeError: `folder` is not a path.
        OSError: A file cannot be read.
    """
    model, params, _ = read(as_path("folder", folder))
    return model, params


def write(
    folder: Path,
    model: Layer,
    params: Params,
    about: object = None,
    files: Mapping[str, bytes] | None = None,
) -> None:
    """Saves a model as `save` does, with more about it.

    Args:
        folder: the folder.
        model: the model.
        params: its parameters.
        about: what `read` returns besides, to be encoded as JSON.
        files: name -> content of files for people, which no checksum covers.
    """
    files = files or {}
    layers, arrays = described(model), parameters.checked(model, params)
    packed = parameters.packed(arrays)
    path = folder.resolve() / f"params-{secrets.token_hex(4)}.npz"
    dtypes: Any = {name: array.dtype.name for name, array in arrays.items()}
    said = msgspec.Raw(msgspec.json.encode(about))
    content = Content(layers, path.name, _sha256(packed), dtypes, said)
    check_replaceable(folder, files)
    _switch(path, packed, _document(content))
    for name, written in files.items():
        write_whole(path.with_name(name), written)
    for pattern in leftovers(files):
        for old in set(path.parent.glob(pattern)) - {path}:
            old.unlink()


def read(folder: Path) -> Saved:
    """Reads what `write` wrote; it raises what `load` raises."""
    while True:
        text = read_description(folder)
        try:
            return _read(folder, text)
        except ValueError:
            if read_description(folder) == text:
                raise  # and else it was replaced meanwhile: read the new one


def _read(folder: Path, text: bytes) -> Saved:
    with naming_damage(folder / DESCRIPTION):
        document = decode_json(text, Document)
        if document.sha256 != _sha256(document.model):
            raise ValueError("its content is not what was saved")
        content = decode_json(document.model, Content)
        model = built(content.layers)
        form = parameters.form(model)
    params = _params(folder / content.params, content, form)
    return Saved(model, params, bytes(content.about))


@contextmanager
def naming_damage(path: Path) -> Generator[None]:
    """Turns what a description that makes no sense raises into a `ValueError` that names the file.

    Raises:
        ValueError: The file is damaged.
    """
    try:
        yield
    except _DAMAGES as error:
        reason = str(error).partition("\n")[0].rstrip(".:")
        raise ValueError(
            f"{path} is damaged: {reason}. Restore the folder from a copy, or save the model again."
        ) from error


def _switch(path: Path, packed: bytes, document: bytes) -> None:
    """Writes the file of parameters, then the description that makes it count."""
    try:
        write_whole(path, packed)
        write_whole(path.with_name(DESCRIPTION), document)
    except Exception:  # an interrupt may come after the switch: then the next save tidies up
        path.unlink(missing_ok=True)
        if path.parent.exists() and not any(path.parent.iterdir()):
            path.parent.rmdir()
        raise


def _document(content: Content) -> bytes:
    model = msgspec.json.encode(content)
    document = Document(
        format="jaxpercep model",
        version=VERSION,
        jaxpercep=importlib.metadata.version("jaxpercep"),
        jax=jax.__version__,
        model=msgspec.Raw(model),
        sha256=_sha256(model),
    )
    return msgspec.json.encode(document) + b"\n"


def _sha256(content: bytes | msgspec.Raw) -> str:
    return hashlib.sha256(content).hexdigest()


def _params(path: Path, content: Content, form: Params) -> Params:
    """Reads the parameters, if their file is the one that was saved."""
    fix = f"Copy it and {DESCRIPTION} together, or save the model again."
    try:
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError as error:
        raise ValueError(f"{path} is missing, which {DESCRIPTION} names. {fix}") from error
    if found != content.sha256:
        raise ValueError(
            f"{path} is not the file that was saved: it is damaged, or another model's. {fix}"
        )
    try:
        return parameters.unpacked(path, form, content.dtypes)
    except ValueError as error:
        raise ValueError(f"{path}: {error}.") from error
