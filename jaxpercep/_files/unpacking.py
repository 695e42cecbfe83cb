"""A limit on what a compressed file may unpack to: a small one must not fill the memory."""

GZIP = b"\x1f\x8b"
"""How every file begins that gzip has packed."""

_ALWAYS = 2**27
_RATIO = 100  # text compresses 3 times, a table of few different values 50 times


def check_unpacked(packed: int, unpacked: int, fix: str) -> None:
    """Raises a `ValueError` if a file announces far more than compressed data can honestly hold.

    Up to 128 MiB are always unpacked, above that 100 times the packed size.

    Args:
        packed: The bytes that are there.
        unpacked: The bytes that they announce to unpack to.
        fix: What to do if the data is honest.
    """
    if unpacked > max(_ALWAYS, _RATIO * packed):
        raise ValueError(
            f"{packed:,} bytes announce to unpack to {unpacked:,}, more than {_RATIO} times as "
            f"many, as a decompression bomb does; {fix}"
        )
