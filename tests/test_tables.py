import io
import os
import re
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from helpers import at_most_allocated
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxpercep._files import unpacking
from jaxpercep._files.layout import Layout
from jaxpercep.tables import load_csv, load_features, load_npz, read_examples, read_rows

XY = "width,height,kind\n1,2.5,b\n-3,4e1,a\n0,.5,b\n"
X = np.array([[1, 2.5], [-3, 40], [0, 0.5]], np.float32)
DESCRIPTORS = Path("/proc/self/fd")
WH = Layout((2,), ("width", "height", "kind"), 2)


@pytest.fixture
def write(tmp_path):
    """Writes text, bytes, or the arrays of an NPZ file, and returns the path."""

    def write_file(content):
        path = tmp_path / "data.any"
        if isinstance(content, dict):
            buffer = io.BytesIO()
            np.savez(buffer, **content)
            content = buffer.getvalue()
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return write_file


def assert_equal(array, expected, dtype):
    assert array.dtype == dtype
    np.testing.assert_array_equal(array, np.array(expected, dtype))


def is_open(path):
    """Tells whether this process has the file open, where the system says so."""
    return any(os.path.realpath(link) == os.path.realpath(path) for link in DESCRIPTORS.glob("*"))


def refused(read, path, *arguments, error=ValueError, **options):
    """Returns the message of the refusal, without the path; the file is closed by then."""
    with pytest.raises(error) as caught:
        read(path, *arguments, **options)
    assert not is_open(path)
    assert str(path) in str(caught.value)
    return str(caught.value).replace(str(path), "FILE")


def test_csv_with_header_and_text_labels(write):
    data = load_csv(str(write(XY)))
    assert_equal(data.x, X, np.float32)
    assert_equal(data.y, [1, 0, 1], np.int32)
    assert data.classes == ("a", "b")


@pytest.mark.parametrize(
    "content",
    [
        XY.split("\n", 1)[1],
        "\ufeff" + XY,
        "\ufeff" + XY.split("\n", 1)[1],
        XY.replace("\n", "\r\n"),
        XY.replace("\n", "\r"),
        XY.replace("\n", "\n\n"),
        XY.rstrip("\n"),
        XY.replace(",", " , ").replace("\n", " \n"),
        '"width","height","kind"\n"1","2.5","b"\n"-3","4e1","a"\n"0", ".5", "b"\n',
    ],
    ids=["no header", "bom", "bom, no header", "crlf", "cr", "blank", "no end", "spaces", "quoted"],
)
def test_csv_variants_read_alike(write, content):
    data = load_csv(write(content))
    assert_equal(data.x, X, np.float32)
    assert_equal(data.y, [1, 0, 1], np.int32)
    assert data.classes == ("a", "b")


def test_a_quoted_name_may_hold_commas_and_line_breaks(write):
    data = load_csv(write('"a, in\nmetres",kind\n1,x\n'))
    assert_equal(data.x, [[1]], np.float32)
    found = refused(load_csv, write('"a, in\nmetres",kind\n?,x\n'))
    assert found.startswith(r"FILE, line 3, column 1 ('a, in\nmetres'): the cell is missing ('?')")


@pytest.mark.parametrize(
    ("cells", "labels", "classes"),
    [
        ("1 0 1", [1, 0, 1], ("0", "1")),
        ("1 -0 0 -0.0", [1, 0, 0, 0], ("0", "1")),
        ("-1 1 -1", [0, 1, 0], ("-1", "1")),
        ("10 9 2", [2, 1, 0], ("2", "9", "10")),
        ("1.0 3e0 1", [0, 1, 0], ("1", "3")),
        ("1e30 3 1", [2, 1, 0], ("1", "3", "1000000000000000019884624838656")),
        ("no yes no", [0, 1, 0], ("no", "yes")),
    ],
)
def test_whole_numbers_and_text_become_sorted_class_labels(write, cells, labels, classes):
    data = load_csv(write("x,y\n" + "".join(f"0.5,{cell}\n" for cell in cells.split())))
    assert_equal(data.y, labels, np.int32)
    assert data.classes == classes


def test_other_numbers_are_values(write):
    data = load_csv(write("1,2.5\n2,3\n"))
    assert_equal(data.x, [[1], [2]], np.float32)
    assert_equal(data.y, [[2.5], [3]], np.float32)
    assert data.classes is None


@pytest.mark.parametrize("bom", ["", "\ufeff"])
@pytest.mark.parametrize("target", ["kind", 0, -3])
def test_csv_target_by_name_and_index(write, target, bom):
    data = load_csv(write(bom + "kind,u,v\n7,1,2\n5,3,4\n"), target)
    assert_equal(data.x, [[1, 2], [3, 4]], np.float32)
    assert_equal(data.y, [1, 0], np.int32)
    assert data.classes == ("5", "7")


def test_a_target_in_the_middle_leaves_the_order(write):
    path = write("u,kind,v\n1,7,2\n3,5,x\n")
    assert refused(load_csv, path, "kind").startswith("FILE, line 3, column 3 ('v'): 'x' is text")
    assert_equal(load_csv(write("u,kind,v\n1,7,2\n"), 1).x, [[1, 2]], np.float32)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "FILE is empty, expected rows of comma-separated cells."),
        ("\n\n", "FILE is empty, expected rows of comma-separated cells."),
        ("a,b\n", "FILE has a header and no rows."),
        (
            "1\n2\n",
            "FILE has 1 column, but features and a target need at least two; are the cells sep",
        ),
        ("a|b\n1|2\n", "FILE has 1 column, but features and a target need at least two; are the"),
        ("a,b\n1,2\n1\n", "FILE, line 3: 1 column, the first line has 2."),
        ("1,2\n\n1,2,3\n", "FILE, line 3: 3 columns, the first line has 2."),
        ("a,b\n1,2\nx,3\n", "FILE, line 3, column 1 ('a'): 'x' is text; features must be numbers"),
        (
            "1,2,3\n1,,3\n",
            "FILE, line 2, column 2: the cell is empty; fill it in, or leave out the row",
        ),
        (
            "1,2,3\n1, ,3\n",
            "FILE, line 2, column 2: the cell is empty; fill it in, or leave out the row",
        ),
        ("1,2\nnan,3\n", "FILE, line 2, column 1: the cell is missing ('nan'); fill it in, or"),
        ("1,2\n-inf,3\n", "FILE, line 2, column 1: '-inf' is not a finite float32 number"),
        ("1,2\n1e39,3\n", "FILE, line 2, column 1: '1e39' is not a finite float32 number"),
        (
            "0,b,c\n1,2,3\n",
            "FILE, line 1, column 2: 'b' is text; features must be numbers, and a h",
        ),
        ("a,b,a\n1,2,3\n", "FILE, line 1, column 3 ('a'): the header has this name twice; give"),
        ("a,a ,b\n1,2,3\n", "FILE, line 1, column 2 ('a'): the header has this name twice; give"),
        (",a,b\n0,1,2\n", "FILE, column 1 (''): the header gives this column no name, as that"),
        ("a,b\n1,\n", "FILE, line 2, column 2 ('b'): the target is missing; fill it in, or"),
        ("a,b\n1,u\n1, \n", "FILE, line 3, column 2 ('b'): the target is missing; fill it in, or"),
        (
            "a,b\n1,2\n1,nan\n",
            "FILE, line 3, column 2 ('b'): the target is missing ('nan'); fill it in, or leave",
        ),
        (
            "a,b\n1,inf\n",
            "FILE, line 2, column 2 ('b'): 'inf' is neither a label nor a finite number.",
        ),
        (
            "a,b\n1,2\n1,u\n",
            "FILE, line 3, column 2 ('b'): 'u' does not go with '2' in line 2; a ta",
        ),
        (
            "a,b\n1,u\n1,2\n",
            "FILE, line 3, column 2 ('b'): '2' does not go with 'u' in line 2; a ta",
        ),
        ("a,b\n1,1e99\n1,.5\n", "FILE: the target, as float32, holds 1 value that is NaN or infin"),
        ('a,b\n1,"2\n', "FILE, line 2: unexpected end of data."),
        ('a,b\n1,"2"3\n', "FILE, line 2: ',' expected after '\"'."),
        ("a,b\n1," + "2" * 140_000, "FILE, line 2: field larger than field limit (131072)."),
        (
            b"a,b\n\xe9,2\n",
            "FILE is not UTF-8 text ('utf-8' codec can't decode byte 0xe9 in positio",
        ),
        *(
            (
                "\ufeffa,b\n1,2\n".encode(name),
                "FILE is UTF-16 text; save it as UTF-8, or convert",
            )
            for name in ("utf-16-le", "utf-16-be")
        ),
    ],
)
def test_csv_refuses(write, content, message):
    found = refused(load_csv, write(content))
    assert found.startswith(message)


@pytest.mark.parametrize(
    ("target", "error", "message"),
    [
        (
            "kinds",
            ValueError,
            "target='kinds' is not a column of FILE. Did you mean 'kind'? Its column",
        ),
        (
            "zzz",
            ValueError,
            "target='zzz' is not a column of FILE. Its column names: width, height, k",
        ),
        (3, ValueError, "target=3 is not a column of FILE: it has 3."),
        (-4, ValueError, "target=-4 is not a column of FILE: it has 3."),
    ],
)
def test_csv_refuses_a_target_that_is_not_there(write, target, error, message):
    assert refused(load_csv, write(XY), target, error=error).startswith(message)


@pytest.mark.parametrize("target", [True, 1.0, ["kind"]])
def test_csv_refuses_a_target_of_another_type(write, target):
    message = f"target={target!r} must be a column's name or index, not {type(target).__name__}."
    with pytest.raises(TypeError, match=re.escape(message)):
        load_csv(write(XY), target)


def test_a_target_name_needs_a_header_and_a_long_header_is_shortened(write):
    found = refused(load_csv, write("1,2\n"), "kind")
    assert (
        found == "target='kind' is not a column of FILE. Its column names: none (it has no header)."
    )
    names = ",".join(f"pixel{i}" for i in range(784))
    found = refused(load_csv, write(f"{names}\n"), "label")
    assert "pixel0, pixel1" in found
    assert found.endswith("[...].")
    assert len(found) < 300


FINITE = st.floats(width=32, allow_nan=False, allow_infinity=False)


@settings(deadline=None, max_examples=50)
@given(
    rows=st.integers(1, 4).flatmap(
        lambda width: st.lists(
            st.lists(FINITE, min_size=width, max_size=width), min_size=1, max_size=5
        )
    ),
    header=st.booleans(),
)
def test_any_float32_features_round_trip(tmp_path_factory, rows, header):
    path = tmp_path_factory.getbasetemp() / "round_trip.csv"
    names = ",".join(f"x{i}" for i in range(len(rows[0]))) + ",y\n"
    lines = [",".join(map(repr, row)) + ",label\n" for row in rows]
    path.write_text((names if header else "") + "".join(lines))
    data = load_csv(path)
    assert_equal(data.x, rows, np.float32)
    assert data.classes == ("label",)
    assert_equal(load_features(path, len(rows[0])), rows, np.float32)


@pytest.mark.parametrize("dtype", [np.int64, np.uint8, np.float64, np.float16, np.float32])
def test_npz_features_become_float32(write, dtype):
    data = load_npz(str(write({"x": np.arange(6, dtype=dtype).reshape(3, 2), "y": [1, 5, 1]})))
    assert_equal(data.x, [[0, 1], [2, 3], [4, 5]], np.float32)
    assert_equal(data.y, [0, 1, 0], np.int32)
    assert data.classes == ("1", "5")


@pytest.mark.parametrize(
    ("y", "labels", "classes"),
    [
        (["b", "a", "b"], [1, 0, 1], ("a", "b")),
        ([True, False, True], [1, 0, 1], ("False", "True")),
        (np.array([0, 255, 0], np.uint8), [0, 1, 0], ("0", "255")),
    ],
)
def test_npz_labels(write, y, labels, classes):
    data = load_npz(write({"x": X, "y": y}))
    assert_equal(data.y, labels, np.int32)
    assert data.classes == classes


def test_npz_floats_are_values_with_an_output_axis(write):
    for y in ([1.0, 2.0, 3.5], [[1.0], [2.0], [3.5]]):
        data = load_npz(write({"x": X, "y": y}))
        assert_equal(data.y, [[1], [2], [3.5]], np.float32)
        assert data.classes is None
    assert_equal(load_npz(write({"x": X, "y": 2 * X})).y, 2 * X, np.float32)


def test_npz_images_are_flattened_in_their_order(write):
    images = np.arange(24).reshape(2, 3, 2, 2)
    data = load_npz(write({"x": images, "y": [0, 1]}))
    assert_equal(data.x, images.reshape(2, 12), np.float32)
    assert_equal(load_features(write({"x": images[..., 0]}), 6), images[..., 0].reshape(2, 6), "f4")
    assert_equal(load_npz(write({"x": np.asfortranarray(X), "y": [0, 1, 2]})).x, X, np.float32)


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.int64, np.float32])
def test_npz_matrices_are_values(write, dtype):
    data = load_npz(write({"x": X, "y": np.eye(3, dtype=dtype)}))
    assert_equal(data.y, np.eye(3), np.float32)
    assert data.classes is None


def npz(header, data=b"", announced=None, method=zipfile.ZIP_STORED):
    """Writes an array whose header is any text."""
    text = header.encode()
    content = b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + data
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        archive.writestr("x.npy", content)
    file = bytearray(buffer.getvalue())
    if announced is not None:
        place = file.rindex(b"PK\1\2") + 24
        file[place : place + 4] = announced.to_bytes(4, "little")
    return bytes(file)


def header_of(shape, descr="<f4"):
    return f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (npz("{'descr': '<f4', 'fortran_order': Fal"), "its header is damaged (TokenError)"),
        (npz("{'descr': '<f4'}"), "Header does not contain the correct keys"),
        (npz("(" * 9000), "its header is damaged"),
        (npz("-" * 9000 + "1"), "its header is damaged"),
        (npz("x" * 20_000), "Header info length (20000) is large"),
        (npz(header_of((10**18, 10**18)), bytes(8)), "its header announces shape (1000000000000"),
        (npz(header_of((-1, 2))), "its header announces the shape (-1, 2)"),
        (npz(header_of((2, 2)), bytes(15)), "its header announces shape (2, 2) of float32, that"),
        (npz(header_of((2, 2)), bytes(17)), "its header announces shape (2, 2) of float32, that"),
        (npz(header_of((0, 10**30))), "cannot be read: "),
        (npz(header_of((1,) * 99), bytes(4)), "cannot be read: "),
        (npz(header_of((1,), "|O")), "it holds Python objects, which are never unpickled"),
        (npz(header_of((2, 2)), bytes(16), 2**32 - 2), "as a decompression bomb does"),
        (npz(header_of((2, 2)), bytes(16), method=zipfile.ZIP_LZMA), "by another method"),
    ],
)
def test_npz_headers_are_not_believed(write, content, message):
    found = refused(load_npz, write(content))
    assert found.startswith("FILE: array 'x' cannot be read: ")
    assert message in found
    assert "\n" not in found


def test_a_bomb_is_not_unpacked(write, monkeypatch):
    zeros = npz(header_of((2**22, 2)), bytes(2**25), method=zipfile.ZIP_DEFLATED)
    monkeypatch.setattr(unpacking, "_ALWAYS", 2**20)
    path = write(zeros)
    with at_most_allocated(2**20):
        found = refused(load_npz, path)
    assert "announce to unpack to 33,554," in found
    assert "as a decompression bomb does; if it is none, write it with np.savez, uncomp" in found


def good_npz(save=np.savez):
    buffer = io.BytesIO()
    save(buffer, x=X, y=[0, 1, 0])
    return buffer.getvalue()


def damaged_npz(mark, offset, save=np.savez):
    """Changes the byte at `offset` from the last `mark` of a file."""
    content = bytearray(good_npz(save))
    content[content.rindex(mark) + offset] ^= 0x7F
    return bytes(content)


def other_zip():
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("x", "not an array")
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("1,2\n", "FILE is not an NPZ file; write one with np.savez(path, x=x, y=y)."),
        ("", "FILE is not an NPZ file; write"),
        ({}, "FILE has no array 'x'; it holds none."),
        ({"X": X, "y": [1]}, "FILE has no array 'x'; it holds X, y."),
        ({"x": X, "labels": [1]}, "FILE has no array 'y'; it holds x, labels."),
        (
            {"x": np.array([[None]]), "y": [1]},
            "FILE: array 'x' cannot be read: it holds Python obj",
        ),
        ({"x": X, "y": np.array([{}] * 3)}, "FILE: array 'y' cannot be read: it holds Python obj"),
        (
            {"x": X[0], "y": [1]},
            "FILE: x has shape (2,) and type float32, expected numbers [n, fea",
        ),
        (
            {"x": X[None, None, None], "y": [1]},
            "FILE: x has shape (1, 1, 1, 3, 2) and type float32, expected numbers",
        ),
        (
            {"x": X[:0], "y": []},
            "FILE: x has shape (0, 2) and type float32, expected numbers [n, f",
        ),
        ({"x": X[:, :0], "y": [1] * 3}, "FILE: x has shape (3, 0) and type float32, expected"),
        ({"x": [["a"]], "y": [1]}, "FILE: x has shape (1, 1) and type <U1, expected numbers"),
        ({"x": X + 1j, "y": [1] * 3}, "FILE: x has shape (3, 2) and type complex64, expected numb"),
        ({"x": X, "y": [1, 2]}, "FILE: x has 3 rows, y has shape (2,); they must agree."),
        ({"x": X, "y": 1}, "FILE: x has 3 rows, y has shape (); they must agree."),
        (
            {"x": X, "y": np.ones((3, 1), int)},
            "FILE: y has shape (3, 1) and type int64, expected c",
        ),
        (
            {"x": X, "y": np.ones((3, 1, 1))},
            "FILE: y has shape (3, 1, 1) and type float64, expecte",
        ),
        (
            {"x": X, "y": np.ones((3, 0))},
            "FILE: y has shape (3, 0) and type float64, expected clas",
        ),
        ({"x": X, "y": [b"a"] * 3}, "FILE: y has shape (3,) and type |S1, expected class labels"),
        (
            # A signalling NaN, at whose conversion the processor raises a flag.
            {"x": np.full((3, 2), 0x7FF0000000000001).view(np.float64), "y": [1] * 3},
            "FILE: x, as float32, holds 6 values that are NaN or infinite",
        ),
        ({"x": X * np.nan, "y": [1] * 3}, "FILE: x, as float32, holds 6 values that are NaN or in"),
        (
            {"x": [[1.0], [1e300]], "y": [1, 2]},
            "FILE: x, as float32, holds 1 value that is NaN or",
        ),
        (
            {"x": X, "y": [1, np.nan, 2]},
            "FILE: y, as float32, holds 1 value that is NaN or infinit",
        ),
        (other_zip(), "FILE: array 'x' cannot be read: the magic string is not correct"),
    ],
)
def test_npz_refuses(write, content, message):
    found = refused(load_npz, write(content))
    assert found.startswith(message)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (good_npz()[:-30], "array 'x' cannot be read: File is not a zip file."),
        (damaged_npz(X.tobytes(), 0), "array 'x' cannot be read: Bad CRC-32"),
        (damaged_npz(b"PK\1\2", 8), "array 'y' cannot be read: "),  # marked as patched data
        (damaged_npz(b"PK\3\4", 29), "array 'y' cannot be read: "),  # the length of a header
        (damaged_npz(b"PK\5\6", 18), "array 'x' cannot be read: "),  # directory's place
        (
            damaged_npz(b"PK\3\4", 55, np.savez_compressed),
            "array 'y' cannot be read: Error -3 while decompressing data",
        ),
    ],
)
def test_a_damaged_npz_is_refused(write, content, message):
    found = refused(load_npz, write(content))
    assert found.startswith(f"FILE: {message}")
    assert not found.endswith(": .")  # a reason is given


@pytest.mark.parametrize(
    ("content", "target"),
    [
        ("1,2.5\n-3,40\n0,.5\n", None),
        ("1,2.5\n-3,40\n0,.5\n", "kind"),
        ("width,height\n1,2.5\n-3,40\n0,.5\n", None),
        ("width,height\n1,2.5\n-3,40\n0,.5\n", "kind"),
        ("width,height\n1,2.5\n-3,40\n0,.5\n", 0),
        (XY, None),
        (XY, "kind"),
        (XY, 2),
        (XY, -1),
        ("kind,width,height\n,1,2.5\n?,-3,40\n7,0,.5\n", "kind"),
        ("width,kind,height\n1,a,2.5\n-3,,40\n0,b,.5\n", 1),
        ({"x": X}, None),
        ({"x": X, "y": [1, 2, 3]}, None),
        ({"x": X.astype(np.float64)}, "kind"),
    ],
)
def test_features_with_and_without_their_target(write, content, target):
    assert_equal(load_features(str(write(content)), 2, target), X, np.float32)


def test_a_pipe_is_read_from_its_first_byte(tmp_path):
    path = tmp_path / "pipe"
    os.mkfifo(path)
    for read in (
        load_csv,
        lambda path: read_examples(path)[0],
        lambda path: next(read_rows(path, WH)),
    ):
        with ThreadPoolExecutor() as pool:
            pool.submit(path.write_text, XY)
            assert_equal(read(path).x, X, np.float32)


def test_damaged_text_in_an_npz_file_is_refused(write):
    for point in (0xD800, 0x110000, 0xFFFFFFFF):
        y = np.full(3, point, np.uint32).view("<U1")
        assert refused(load_npz, write({"x": X, "y": y})).startswith(
            "FILE: y holds text that is empty or not"
        )
        (rows,) = read_rows(write({"x": X, "y": y}), WH)
        assert rows.labelled is None
        assert "y holds text that" in rows.remark
    for y in (np.array(["a", "", "b"]), np.empty(3, "<U0")):
        assert "y holds text that is empty" in refused(load_npz, write({"x": X, "y": y}))


@pytest.mark.parametrize(
    ("content", "features", "target", "message"),
    [
        (XY, 1, None, "FILE has 3 columns: expected 1 feature, or 2 columns with the target."),
        (XY, 4, None, "FILE has 3 columns: expected 4 features, or 5 columns with the target."),
        (
            XY,
            3,
            "kind",
            "FILE has 3 columns, the target among them: expected 3 features, or 4 colu",
        ),
        (XY, 3, None, "FILE, line 2, column 3 ('kind'): 'b' is text; features must be numbers"),
        (XY, 2, "kid", "target='kid' is not a column of FILE. Did you mean 'kind'?"),
        (XY, 2, 3, "target=3 is not a column of FILE: it has 3."),
        ("1,2,3\n", 2, "kind", "target='kind' is not a column of FILE. Its column names: none"),
        ("a,b\n", 2, None, "FILE has a header and no rows."),
        ("", 2, None, "FILE is empty"),
        ({"x": X}, 3, None, "FILE: x has 2 features, the model takes 3 features."),
        ({"x": X}, 1, None, "FILE: x has 2 features, the model takes 1 feature."),
        ({"y": X}, 2, None, "FILE has no array 'x'; it holds y."),
        ({"x": X + np.inf}, 2, None, "FILE: x, as float32, holds "),
    ],
)
def test_features_refuse(write, content, features, target, message):
    found = refused(load_features, write(content), features, target)
    assert found.startswith(message)


def test_features_refuse_a_count_that_is_none(write):
    with pytest.raises(ValueError, match="features=0 must be at least 1"):
        load_features(write(XY), 0)
    with pytest.raises(TypeError, match="features='2' must be an integer"):
        load_features(write(XY), "2")


@pytest.mark.parametrize("read", [load_csv, load_npz, lambda path: load_features(path, 2)])
def test_missing_files_and_directories_are_os_errors(tmp_path, read):
    refused(read, tmp_path / "nowhere", error=FileNotFoundError)
    refused(read, tmp_path, error=IsADirectoryError)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (((),), "the shape .* is empty"),
        (((2, 0),), "the shape .* is empty"),
        (((2,), None, 3), "there is no column 3 beside 2 features"),
        (((2,), None, -1), "there is no column -1 beside 2 features"),
        (((2,), ("a", "b", "y")), "the columns are not 2 features and a target"),
        (((2,), ("a", "", "y"), 2), "the columns are not 2 features and a target"),
        (((2,), ("a", "b"), 1), "the columns are not 2 features and a target"),
        (((2,), ("a", "a", "y"), 2), "the columns are not 2 features and a target"),
    ],
)
def test_a_layout_is_one_of_a_table(fields, message):
    with pytest.raises(ValueError, match=message):
        Layout(*fields)


@pytest.mark.parametrize(
    ("trained", "shape", "message"),
    [
        ((6,), (6,), ""),
        ((6,), (2, 3), ""),
        ((2, 3), (6,), ""),
        ((2, 3), (2, 3), ""),
        ((2, 3), (3, 2), "x has images of 3 x 2, the model takes images of 2 x 3."),
        ((2, 3), (2, 3, 1), "x has images of 2 x 3 x 1, the model takes images of 2 x 3."),
        ((6,), (2, 2), "x has images of 2 x 2, the model takes 6 features."),
        ((1,), (2,), "x has 2 features, the model takes 1 feature."),
    ],
)
def test_shapes_that_can_be_read_alike(trained, shape, message):
    if not message:
        Layout(trained).check_shape("x", shape)
        return
    with pytest.raises(ValueError, match=re.escape(message)):
        Layout(trained).check_shape("x", shape)
