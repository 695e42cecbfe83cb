"""Tables and options that `jaxpercep train` refuses, with place and fix, and nothing written."""

from pathlib import Path

import numpy as np
import pytest
from helpers import run

ROWS = "a,colour,y\n1,red,no\n2,blue,yes\n3,red,no\n4,blue,yes\n"

BAD_TABLES = [
    ("", "", "FILE is empty, expected rows of comma-separated cells."),
    ("\n \n", "", "FILE has 1 column, but features and a target need at least two"),
    ("a,y\n", "", "FILE has a header and no rows."),
    (
        "a|y\n1|2\n",
        "",
        "FILE has 1 column, but features and a target need at least two; are the ce",
    ),
    ("a y\n1 2\n", "", "separated by commas, semicolons or tabs?"),
    ("a,y\n1,no\n2\n", "", "FILE, line 3: 1 column, the first line has 2."),
    (
        "a;y\n1;no\n2;3;no\n",
        "",
        "FILE, line 3: 3 columns, the first line has 2 (separated by ';').",
    ),
    ("a\ty\n1,no\n", "", "FILE, line 2: 1 column, the first line has 2 (separated by '\\t')."),
    ("a;y\n1,no\n", "", "FILE, line 2: 1 column, the first line has 2 (separated by ';')."),
    ('a,y\n"1,no\n', "", "FILE, line 2: unexpected end of data."),
    ('a,y\n"1"x,no\n', "", "FILE, line 2: ',' expected after"),
    (b"a,y\n\xff,no\n", "", "FILE is not UTF-8 text ("),
    (b"\x1f\x8b\x08\x00", "", "FILE is packed by gzip; unpack it: gunzip bad.csv."),
    (
        b"\xff\xfea\0,\0",
        "",
        "FILE is UTF-16 text; save it as UTF-8, or convert it: iconv",
    ),
    ("a,a,y\n1,2,no\n", "", "FILE, line 1, column 2 ('a'): the header has this name twice; give"),
    (",a,y\n0,1,no\n", "", "FILE, column 1 (''): the header gives this column no name, as that of"),
    (",a,\n0,1,no\n", "", "FILE, line 1, column 3 (''): the header has this name twice; give each"),
    (
        "a,y\n1,no\n,yes\n",
        "",
        "FILE, line 3, column 1 ('a'): the cell is empty; fill it in, or leave",
    ),
    (
        "a,y\n1,no\n?,yes\n",
        "",
        "FILE, line 3, column 1 ('a'): the cell is missing ('?'); fill it in",
    ),
    ("a,y\n1,no\nNA,yes\n", "", "line 3, column 1 ('a'): the cell is missing ('NA'); fill it in"),
    ("a,y\n1,no\nnan,yes\n", "", "line 3, column 1 ('a'): the cell is missing ('nan'); fill it in"),
    ("a,y\nred,no\n,yes\n", "", "`jaxpercep train --missing mean` fills it."),
    ("1,2,no\n3,,no\n", "", "FILE, line 2, column 2: the cell is empty; fill it in, or leave out"),
    ("a,y\n1,no\n2,\n", "", "FILE, line 3, column 2 ('y'): the target is missing; fill it in, or"),
    ("a,y\n1,no\n2,\n", "--missing mean", "line 3, column 2 ('y'): the target is missing; fill it"),
    ("a,y\n1,no\n2,NA\n", "--missing mean", "column 2 ('y'): the target is missing ('NA'); fill"),
    (
        "a,b,y\n?,1,no\n,2,ja\n,3,no\n,4,ja\n",
        "--missing mean",
        "FILE: 'a' is missing in every row to train on",
    ),
    (
        "a,y\n1,no\nx,no\n",
        "",
        "FILE, line 3, column 1 ('a'): 'x' is text, but line 2 has the numbe",
    ),
    (
        "a,y\n1,no\nx,no\n",
        "",
        "has the number '1': a column is all numbers or all text. Correct it",
    ),
    (
        "a,y\nx,no\n7,no\n",
        "",
        "line 3, column 1 ('a'): '7' is a number, but line 2 has the text 'x'",
    ),
    ("a,y\n1,no\nx,no\n", "", "or leave the column out: --drop a."),
    ("a b,y\n1,no\nx,no\n", "", "or leave the column out: --drop 'a b'."),
    (
        "1,0,no\n1,x,no\n",
        "",
        "a header line must hold no number. Correct it, or leave the column out",
    ),
    ("1,0,no\n1,x,no\n", "", "--drop 1."),
    ("a,y\nx,no\n7,no\n", "--missing mean", "'7' is a number, but line 2 has the text 'x'"),
    ("a,y\n1,no\n1e39,no\n", "", "line 3, column 1 ('a'): '1e39' is not a finite float32 number;"),
    (
        "a,y\n1,no\ninf,no\n",
        "",
        "FILE, line 3, column 1 ('a'): 'inf' is not a finite float32 number",
    ),
    (
        "a,y\n1,no\n-inf,no\n",
        "--missing mean",
        "'-inf' is not a finite float32 number; features mus",
    ),
    (
        "a,y\n1,1\n2,x\n",
        "",
        "FILE, line 3, column 2 ('y'): 'x' does not go with '1' in line 2; a ta",
    ),
    (
        "a,y\n1,1\n2,inf\n",
        "",
        "line 3, column 2 ('y'): 'inf' is neither a label nor a finite number",
    ),
    (
        "a;y\n1,5;no\n1.5;no\n",
        "",
        "FILE, line 3: '1,5' has a decimal comma and '1.5' a decimal poi",
    ),
    (
        "a;y\n1.234;no\n1,5;no\n",
        "",
        "write all numbers of the file with the same mark, and none bet",
    ),
    (
        "a;y\n1;2,5\n2;2.5\n",
        "",
        "FILE, line 3: '2,5' has a decimal comma and '2.5' a decimal point;",
    ),
    ("a,y\n1,no\n2,no\n", "", "every target is 'no'; add rows with another one."),
    (
        "n,y\n" + "".join(f"u{i},{i % 2}\n" for i in range(20)),
        "",
        "FILE, line 2, column 1 ('n'): 'u0'",
    ),
    (
        "n,y\n" + "".join(f"u{i},{i % 2}\n" for i in range(20)),
        "",
        "20 different texts in 20 rows, so",
    ),
    ("n,y\n" + "".join(f"u{i},{i % 2}\n" for i in range(20)), "", "Leave it out: --drop n."),
    *(
        (
            content,
            words,
            "If it is a number, write it with a decimal point, and without a mark",
        )
        for content, words in (
            ("n,y\n" + "".join(f'"{i},000",{i % 2}\n' for i in range(20)), ""),
            ('n,y\n500,no\n"1,000",yes\n', ""),
            ('n,y\n"1,000",no\n500,yes\n', ""),
            ('n,y\n1,500\n2,"1,000.5"\n', ""),
            ('n,y\n1,"1,000"\n2,500\n', ""),
            ("n,y\n" + "".join(f'{i},"{i},000"\n' for i in range(20)), "--loss squared"),
            ("n;y\n500;no\n1.000,5;yes\n", ""),
        )
    ),
    (
        "7,z\n1,0\n2,1\n3,0\n",
        "",
        "'0' does not go with 'z' in line 1; a target is all numb",
    ),
    ("7,z\n1,0\n2,1\n3,0\n", "", "all text, and a header line must hold no number."),
    (ROWS, "--target colr", "target='colr' is not a column of FILE. Did you mean 'colour'?"),
    (ROWS, "--target 3", "target=3 is not a column of FILE: it has 3."),
    (
        ROWS,
        "--drop colr",
        "drop='colr' is not a column of FILE. Did you mean 'colour'? Its column na",
    ),
    (ROWS, "--drop a 7", "drop=7 is not a column of FILE: it has 3."),
    (ROWS, "--drop y --target y", "target='y' of FILE is left out by drop; keep it."),
    (
        ROWS,
        "--drop a colour",
        "FILE has 3 columns, and 2 columns left out, but features and a target",
    ),
    (ROWS, "--loss squared", "--loss squared: the targets are text, not numbers"),
    (ROWS, "--batch-size 5", "--batch-size 5: training has 4 samples."),
    (
        "1,0.5\n2,1.5\n",
        "--class-weight balanced",
        "--class-weight balanced: the targets of FILE are",
    ),
    (
        "1,0.5\n2,1.5\n",
        "--drop b",
        "drop='b' is not a column of FILE. Its column names: none (it has",
    ),
]

BAD_OPTIONS = [
    ("moons --drop x", "--drop x: DATA='moons' is not a table, so it has no columns."),
    (
        "moons --missing mean",
        "--missing mean: DATA='moons' is not a table, so it has no columns",
    ),
    ("x.npz --drop 1 2", "--drop 1 2: DATA='x.npz' is not a table, so it has no columns."),
    ("moons --missing zero", "invalid choice 'zero'"),
    ("moons --class-weight even", "invalid choice 'even'"),
    ("moons --schedule step", "invalid choice 'step'"),
    ("moons --warmup-epochs -1", "--warmup-epochs -1: expected at least 0 and below --epochs 500."),
    ("moons --epochs 5 --warmup-epochs 5", "--warmup-epochs 5: expected at least 0 and below --ep"),
    ("moons --warmup-epochs 0.5", "0.5"),
    (
        "x.npz --class-weight balanced",
        "the targets of x.npz are values, or several labels a sample",
    ),
]


@pytest.mark.filterwarnings("ignore:.*found nowhere below")
@pytest.mark.parametrize(("content", "words", "message"), BAD_TABLES)
def test_bad_tables_are_refused(
    tmp_path: Path, content: str | bytes, words: str, message: str
) -> None:
    path, out = tmp_path / "bad.csv", tmp_path / "model"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    options = ("--test-fraction", 0, "--epochs", 1, "--out", out)
    result = run("train", path, *words.split(), *options)
    assert (result.code, result.out) == (2, "")
    assert message in result.err.replace(str(path), "FILE")
    assert result.err.splitlines()[-1].startswith("jaxpercep train: error: ")
    assert not out.exists()


@pytest.mark.parametrize(("words", "message"), BAD_OPTIONS)
def test_bad_options_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: str, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    np.savez("x.npz", x=np.eye(3), y=np.eye(3) * 0.5)
    result = run("train", *words.split())
    assert (result.code, result.out) == (2, "")
    assert message in result.err
    assert not Path("out").exists()


def test_there_are_sixty_refusals() -> None:
    assert len(BAD_TABLES) + len(BAD_OPTIONS) >= 60
