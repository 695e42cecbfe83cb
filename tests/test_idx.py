import gzip
import re

import numpy as np
import pytest
from helpers import at_most_allocated
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from jaxpercep._checks import counted
from jaxpercep._files import unpacking
from jaxpercep.idx import load_idx

CODES = {"uint8": 8, "int8": 9, "int16": 11, "int32": 12, "float32": 13, "float64": 14}
SAMPLE = np.arange(6, dtype=np.int16).reshape(2, 3)


def header(code, shape):
    return bytes([0, 0, code, len(shape)]) + np.array(shape, ">u4").tobytes()


def idx_bytes(array):
    data = array.astype(array.dtype.newbyteorder(">")).tobytes()
    return header(CODES[array.dtype.name], array.shape) + data


def refusal(path, content):
    path.write_bytes(content)
    with pytest.raises(ValueError, match=re.escape(str(path))) as caught:
        load_idx(path)
    return str(caught.value)


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return tmp_path_factory.mktemp("idx") / "data-ubyte"


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
@pytest.mark.parametrize("dtype", CODES)
def test_every_type_round_trips_in_native_order(path, dtype, pack):
    low, high = (-3, 4) if dtype != "uint8" else (0, 256)
    array = np.linspace(low, high, 24, endpoint=False).astype(dtype).reshape(2, 3, 4)
    path.write_bytes(pack(idx_bytes(array)))
    read = load_idx(path)
    assert read.dtype == np.dtype(dtype)
    assert read.dtype.isnative
    np.testing.assert_array_equal(read, array)
    read[0, 0, 0] = 1  # writable


def test_the_bytes_are_big_endian(path):
    path.write_bytes(bytes.fromhex("00000b02 00000001 00000003 0102 ffff 8000"))
    np.testing.assert_array_equal(load_idx(path), np.array([[258, -1, -32768]], np.int16))


def test_compression_is_told_by_content_not_by_name(tmp_path):
    for name, pack in (("plain.gz", bytes), ("packed", gzip.compress)):
        (tmp_path / name).write_bytes(pack(idx_bytes(SAMPLE)))
        np.testing.assert_array_equal(load_idx(str(tmp_path / name)), SAMPLE)


def test_missing_file_and_directory_are_os_errors_that_name_the_path(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere"):
        load_idx(tmp_path / "nowhere")
    with pytest.raises(IsADirectoryError, match=tmp_path.name):
        load_idx(tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "{} (0 bytes) is truncated: an IDX file opens with 4 bytes."),
        (b"\0\0\x08", "{} (3 bytes) is truncated: an IDX file opens with 4 bytes."),
        (b"\x89PNG\r\n", "{} (6 bytes) is not an IDX file: it opens with 89 50, not 00 00."),
        (b"\0\1\x08\1\0\0", "{} (6 bytes) is not an IDX file: it opens with 00 01, not 00 00."),
        (
            header(0x0A, [1]) + b"1",
            "{} (9 bytes) has the unknown IDX type code 0x0A; known codes are 0x08 (uint8), "
            "0x09 (int8), 0x0B (int16), 0x0C (int32), 0x0D (float32), 0x0E (float64).",
        ),
        (header(8, []) + b"1", "{} (5 bytes) announces 0 dimensions, expected 1 to 64."),
        (header(8, [1] * 65), "{} (264 bytes) announces 65 dimensions, expected 1 to 64."),
        (
            header(8, [2, 3])[:-1],
            "{} (11 bytes) is truncated: its header of 2 dimensions takes 12 bytes.",
        ),
        (header(8, [0, 28, 28]), "{} (16 bytes) announces the empty shape (0, 28, 28)."),
        (
            idx_bytes(SAMPLE)[:-1],
            "{} (23 bytes) is truncated: its header announces shape (2, 3) of int16, that is "
            "12 bytes of data, but 11 are there.",
        ),
        (
            idx_bytes(SAMPLE) + b"\0",
            "{} (25 bytes) is followed by trailing data: its header announces shape (2, 3) of "
            "int16, that is 12 bytes of data, but more are there.",
        ),
        (
            header(14, [2**32 - 1] * 3) + bytes(8),
            "{} (24 bytes) is truncated: its header announces shape (4294967295, 4294967295, "
            "4294967295) of float64, that is 633825299671392843082401579000 bytes of data, but 8 "
            "are there.",
        ),
    ],
)
def test_refusals_name_the_file_and_the_byte_counts(path, content, message):
    assert refusal(path, content) == message.format(path)


def test_64_dimensions_are_read(path):
    path.write_bytes(header(8, [1] * 64) + b"\7")
    assert load_idx(path).shape == (1,) * 64


def test_an_announced_size_is_not_allocated(path):
    with at_most_allocated(2**24):
        refusal(path, header(8, [2**31]) + bytes(100))


@pytest.mark.parametrize("announced", [2**24, 10])
def test_a_bomb_is_not_unpacked(path, monkeypatch, announced):
    monkeypatch.setattr(unpacking, "_ALWAYS", 2**20)
    content = gzip.compress(header(8, [announced]) + bytes(2**24))
    with at_most_allocated(2**20):
        found = refusal(path, content)
    bomb = "announce to unpack to 16,777,216, more than 100 times as many, as a decompression bomb"
    assert (bomb if announced > 10 else "10 bytes of data, but more are there") in found


PACKED = gzip.compress(idx_bytes(np.arange(500, dtype=np.int32) * 7919))


@pytest.mark.parametrize("size", [2, 5, 9, 10, 11, 100, len(PACKED) - 9, len(PACKED) - 1])
def test_truncated_gzip_streams(path, size):
    found = refusal(path, PACKED[:size])
    assert found.startswith(f"{path} ({size} bytes) is a damaged or truncated gzip stream: ")


@pytest.mark.parametrize(
    ("position", "reason"),
    [
        (2, "Unknown compression method"),
        (10, "Error -3 while decompressing"),
        (-5, "CRC check fail"),
    ],
)
def test_damaged_gzip_streams(path, position, reason):
    content = bytearray(PACKED)
    content[position] ^= 0xFF
    found = refusal(path, bytes(content))
    assert found.startswith(f"{path} ({len(PACKED)} bytes) is a damaged or truncated gzip stream:")
    assert reason in found


def test_bytes_after_a_gzip_stream_are_refused(path):
    assert "Not a gzipped file" in refusal(path, PACKED + b"more")


def test_a_compressed_file_is_measured_after_decompression(path):
    content = idx_bytes(SAMPLE)
    assert "12 bytes of data, but more are there" in refusal(path, gzip.compress(content + b"ab"))
    assert "12 bytes of data, but 9 are there" in refusal(path, gzip.compress(content[:-3]))


ARRAYS = st.sampled_from(list(CODES)).flatmap(
    lambda dtype: hnp.arrays(dtype, hnp.array_shapes(min_dims=1, max_dims=4, max_side=4))
)


@settings(deadline=None, max_examples=50)
@given(array=ARRAYS, pack=st.sampled_from([bytes, gzip.compress]))
def test_any_array_round_trips(path, array, pack):
    path.write_bytes(pack(idx_bytes(array)))
    read = load_idx(path)
    assert read.dtype == array.dtype
    assert read.shape == array.shape
    assert read.tobytes() == array.tobytes()  # NaN and -0.0 too


@settings(deadline=None, max_examples=50)
@given(array=ARRAYS, pack=st.sampled_from([bytes, gzip.compress]), data=st.data())
def test_any_truncation_is_refused(path, array, pack, data):
    content = pack(idx_bytes(array))
    size = data.draw(st.integers(0, len(content) - 1))
    assert str(path) in refusal(path, content[:size])


@settings(deadline=None, max_examples=50)
@given(array=ARRAYS, pack=st.sampled_from([bytes, gzip.compress]), extra=st.integers(0, 255))
def test_any_appended_byte_is_refused(path, array, pack, extra):
    # gzip allows zeros after its stream, as padding: there the byte is appended inside.
    found = refusal(path, pack(idx_bytes(array) + bytes([extra])))
    assert f"that is {counted(array.nbytes, 'byte')} of data, but more are there" in found
