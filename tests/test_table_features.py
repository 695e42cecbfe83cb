"""Tables as they come: text, missing cells, other separators, headers or none."""

import csv
import re
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.preprocessing import OneHotEncoder

from jaxpercep._files.layout import Layout
from jaxpercep.commands.sources import Fill, Scale
from jaxpercep.tables import load_csv, load_features, read_examples, read_rows

MIXED = """\
id,age,colour,y
u1,1,red,no
u2,2.5,blue,yes
u3,-3,red,no
u4,4,"dark, grey",yes
"""
LAYOUT = Layout((2,), ("id", "age", "colour", "y"), 3, (0,), ((), ("blue", "dark, grey", "red")))
X = np.array([[1, 0, 0, 1], [2.5, 1, 0, 0], [-3, 0, 0, 1], [4, 0, 1, 0]], np.float32)
NAN = float("nan")


@pytest.fixture
def write(tmp_path):
    def write_file(content, name="data.csv"):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write_file


def one_block(*arguments, **options):
    """Reads the rows to predict for, which are few."""
    (rows,) = read_rows(*arguments, **options)
    return rows


def assert_features(x, expected):
    assert x.dtype == np.float32
    np.testing.assert_array_equal(x, np.array(expected, np.float32))


# Text.


def test_each_text_becomes_a_feature_in_sorted_order(write):
    data, layout = read_examples(write(MIXED), drop=["id"])
    assert_features(data.x, X)
    assert layout == LAYOUT
    assert (layout.features, layout.inputs) == (2, 4)
    assert layout.numbers == [True, False, False, False]
    assert (data.y.tolist(), data.classes) == ([0, 1, 0, 1], ("no", "yes"))


@pytest.mark.parametrize(
    "content",
    [
        MIXED,
        'colour,y,age,id\nred,?,1,u1\nblue,yes,2.5,u2\nred,no,-3,\n"dark, grey",,4,u4\n',
        'age,colour\n1,red\n2.5,blue\n-3,red\n4,"dark, grey"\n',
        MIXED.split("\n", 1)[1],
        'u1,1,red\nu2,2.5,blue\nu3,-3,red\nu4,4,"dark, grey"\n',
    ],
    ids=["same", "other order", "bare", "no header", "no header, no target"],
)
def test_rows_to_predict_for_are_encoded_as_those_of_training(write, content):
    assert_features(one_block(write(content), LAYOUT).x, X)


def test_one_row_is_encoded_with_all_categories(write):
    assert_features(one_block(write("age,colour\n7,blue\n"), LAYOUT).x, [[7, 1, 0, 0]])


def test_the_order_of_saved_categories_counts_not_that_of_the_file(write):
    layout = Layout((1,), None, 1, (), (("z", "a"),))
    assert_features(one_block(write("a\nz\n"), layout).x, [[0, 1], [1, 0]])


def test_columns_are_dropped_by_name_and_index_from_either_end(write):
    for drop in (["id", "age"], [0, 1], [-4, "age"], ["id", "id", 1]):
        data, layout = read_examples(write(MIXED), drop=drop)
        assert_features(data.x, X[:, 1:])
        assert layout.dropped == (0, 1)
    data, layout = read_examples(write(MIXED), drop=["y"], target="age")
    assert layout.named_features == ("id", "colour")
    assert_features(data.y[:, 0], [1, 2.5, -3, 4])
    data, layout = read_examples(write(MIXED), drop=[-1, 0])  # then the last is another one
    assert (layout.named_target, layout.named_features) == ("colour", ("age",))


def test_texts_of_a_number_are_said_in_words(write):
    message = "text.csv, line 2, column 1 ('id'): 'u1' is text; features must be numbers, and a hea"
    for read in (load_csv, lambda path: load_features(path, 3)):
        with pytest.raises(ValueError, match=re.escape(message)):
            read(write(MIXED, "text.csv"))


@pytest.mark.parametrize(
    ("texts", "rows", "fits"),
    [
        (10, 10, True),
        (11, 11, False),
        (11, 21, False),
        (11, 22, True),
        (1000, 2000, True),
        (1001, 4000, False),
    ],
)
def test_texts_that_identify_rows_are_refused(write, texts, rows, fits):
    lines = [f"t{i % texts},{i},{i % 2}\n" for i in range(rows)]
    path = write("name,b,c\n" + "".join(lines))
    if fits:
        assert read_examples(path)[0].x.shape == (rows, texts + 1)
        return
    message = rf"line 2, column 1 \('name'\): 't0' is one of {texts} different texts in {rows} rows"
    with pytest.raises(ValueError, match=message + r".* Leave it out: --drop name\.$"):
        read_examples(path)
    assert read_examples(path, drop=["name"])[0].x.shape == (rows, 1)


# Missing cells.


@pytest.mark.parametrize("cell", ["", " ", "?", "NA", "na", "NaN", "nan", '"NA"'])
def test_missing_cells_are_nan_where_that_is_asked_for(write, cell):
    content = f"age,colour,y\n1,red,no\n{cell},blue,yes\n3,{cell},no\n"
    data, layout = read_examples(write(content), missing=True)
    assert_features(data.x, [[1, 0, 1], [NAN, 1, 0], [3, NAN, NAN]])
    assert layout.categories == ((), ("blue", "red"))
    assert_features(one_block(write(content), layout, missing=True).x, data.x)
    with pytest.raises(
        ValueError, match=r"line 3, column 1 \('age'\): the cell is (missing|empty)"
    ):
        read_examples(write(content))
    with pytest.raises(
        ValueError, match=r"line 3, column 1 \('age'\): the cell is (missing|empty)"
    ):
        one_block(write(content), layout)


def test_a_missing_target_is_never_filled(write):
    with pytest.raises(ValueError, match=r"line 3, column 2 \('y'\): the target is missing \('\?'"):
        read_examples(write("a,y\n1,no\n2,?\n"), missing=True)


def test_means_fill_numbers_and_shares_fill_categories():
    x = np.array([[1, 0, 1], [NAN, 1, 0], [3, NAN, NAN], [5, 0, 1]], np.float32)
    fill = Fill.fit([x], Layout((2,), None, 2, (), ((), ("a", "b"))))
    assert fill.mean == (3.0, 1 / 3, 2 / 3)
    np.testing.assert_allclose(
        fill.apply(x), [[1, 0, 1], [3, 1, 0], [3, 1 / 3, 2 / 3], [5, 0, 1]], rtol=1e-6
    )


@pytest.mark.parametrize(
    ("layout", "name"),
    [
        (Layout((3,), ("a", "y", "b", "c"), 1, (), ((), ("u", "v"), ())), "'c'"),
        (Layout((3,), None, 1, (), ((), ("u", "v"), ())), "column 4"),
        (Layout((4,), None, 0), "column 5"),
    ],
)
def test_a_column_without_any_cell_has_no_mean(layout, name):
    x = np.array([[1, 0, 1, NAN]], np.float32)
    with pytest.raises(ValueError, match=f"^{name} is missing in every row to train on"):
        Fill.fit([x], layout)


def test_categories_are_not_standardized():
    scale = Scale.fit([np.array([[1, 0], [3, 1]], np.float32)], [True, False])
    assert (scale.mean, scale.std) == ((2.0, 0.0), (1.0, 1.0))


# Separators, decimals, quotes, line ends.


@pytest.mark.parametrize(
    "content",
    [
        MIXED.replace('"dark, grey"', "@").replace(",", "\t").replace("@", "dark, grey"),
        MIXED.replace('"dark, grey"', "@").replace(",", ";").replace("@", "dark, grey"),
        MIXED.replace('"dark, grey"', "@")
        .replace(",", ";")
        .replace("@", "dark, grey")
        .replace(".", ","),
        "\ufeff"
        + MIXED.replace('"dark, grey"', "@").replace(",", ";").replace("@", '"dark, grey"'),
        MIXED.replace("\n", "\r\n"),
        "\n\n" + MIXED.replace("\n", "\n\n"),
        MIXED.replace("id", '"id"').replace("u1", '"u\n\n1"').replace("u2", '"u;\t""2"""'),
        MIXED.replace("id,", '"id;\tof\nall",'),
    ],
    ids=["tabs", "semicolons", "decimal commas", "bom", "crlf", "blank", "quoted", "quoted header"],
)
def test_tables_read_alike_however_they_are_written(write, content):
    data, layout = read_examples(write(content), drop=[0])
    assert_features(data.x, X)
    assert (layout.categories, layout.target) == (LAYOUT.categories, 3)
    assert data.classes == ("no", "yes")


@pytest.mark.parametrize(
    ("content", "x"),
    [
        ("1,5;no\n-2;yes\n", [[1.5], [-2]]),
        ("1.5;no\n-2e3;yes\n", [[1.5], [-2000]]),
        (",5;no\n1,e-1;yes\n", [[0.5], [0.1]]),
        ("a\ty\n1,5\tno\n", None),  # of tabs it is text
        ('a,y\n"1,5",no\n', None),
    ],
)
def test_decimal_commas_go_with_semicolons(write, content, x):
    data, layout = read_examples(write(content))
    if x is None:
        assert layout.categories == (("1,5",),)
    else:
        assert_features(data.x, x)


def test_targets_have_decimal_commas_too(write):
    data, _ = read_examples(write("a;y\n1;2,5\n2;3\n"))
    assert_features(data.y, [[2.5], [3]])


TEXTS = ["red", "dark, grey", 'the "x"', "a;b", "two\nlines", "tab\tstop", "ü", "-", "N/A"]
ROWS = st.tuples(st.floats(width=32, allow_nan=False, allow_infinity=False), st.sampled_from(TEXTS))


@settings(deadline=None, max_examples=50)
@given(
    rows=st.lists(ROWS, min_size=1, max_size=20),
    separator=st.sampled_from(",;\t"),
    end=st.sampled_from(["\n", "\r\n"]),
    bom=st.booleans(),
)
def test_any_table_is_encoded_as_scikit_learn_encodes_it(
    tmp_path_factory, rows, separator, end, bom
):
    path = tmp_path_factory.getbasetemp() / "drawn.csv"
    with path.open("w", newline="", encoding="utf-8-sig" if bom else "utf-8") as file:
        writer = csv.writer(file, delimiter=separator, lineterminator=end)
        writer.writerows([["a", "b", "y"], *([*row, "no"] for row in rows)])
    numbers, texts = zip(*rows, strict=True)
    hot = OneHotEncoder(sparse_output=False).fit_transform([[text] for text in texts])
    expected = np.column_stack([numbers, hot])
    data, layout = read_examples(path)
    assert_features(data.x, expected)
    assert_features(one_block(path, layout).x, expected)


# A header, or none.


@pytest.mark.parametrize(
    ("content", "names"),
    [
        ("a,b\n1,2\n", ("a", "b")),
        ("1,2\n3,4\n", None),
        ("a,2\nb,4\n", None),
        ("colour,y\nred,no\nblue,yes\n", ("colour", "y")),
        ("red,no\nblue,yes\nred,yes\nblue,no\n", None),
        ("red,no\nblue,yes\nred,yes\n", ("red", "no")),  # "no" is not found again
        ("?,red,no\n1,blue,no\n2,red,yes\n", None),
        ("a,y\nred,no\na,y\nblue,no\n", ("a", "y")),  # repeated, as where files were joined
        ("red,no\nred,no\nblue,no\nred,yes\n", None),
        ("Na,NA\n1,2\n", ("Na", "NA")),
    ],
)
def test_a_header_is_found(write, content, names):
    assert read_examples(write(content), missing=True)[1].columns == names


NOWHERE = r"data\.csv, line 1, column {}: '{}' is found nowhere below\. The line is read as data"


@pytest.mark.parametrize(
    ("first", "rows", "column", "text"),
    [
        ("1990,1991,z", ["1,2,a", "3,4,b", "5,6,a"], 3, "z"),  # the target
        ("1990,z,y", ["1,a,2", "3,b,4", "5,a,6"], 2, "z"),  # a text
        ("1990,1991,z", ["1,2,0", "3,4,1", "5,6,0"], 3, "z"),  # numbers: then it is refused
        ("z;7,5;a", ["a;1,5;a", "a;2,5;b"], 1, "z"),
        ("1990,z", ["1,a", "2,b", "3,?", "4,?"], None, ""),  # texts that rows do not repeat
        ("1990,u1,a", ["1,u2,a", "2,u3,b"], None, ""),
        ("1990,a", ["1,b", "2, a", "3,b"], None, ""),
        ("1990,?,a", ["1,s,b", "2,s,a"], None, ""),
        ("1,5;a", ["2,5;a", "2,5;b"], None, ""),
    ],
)
@pytest.mark.parametrize("read", [read_examples, load_csv])
def test_a_line_that_may_be_a_header_is_said_to_be_data(write, read, first, rows, column, text):
    path, raised = write("\n".join([first, *rows])), None
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            read(path)
        except ValueError as error:
            raised = error
    messages = [str(warning.message) for warning in caught]
    assert len(messages) == (column is not None)
    if messages:
        assert re.search(NOWHERE.format(column, text), messages[0])
        assert messages[0].endswith("give each column a name that is not a number.")
    if "1,2,0" in rows:
        assert "'0' does not go with 'z' in line 1" in str(raised)
        assert str(raised).endswith("a header line must hold no number.")


def test_the_warning_of_a_header_points_at_the_call(write):
    with pytest.warns(UserWarning, match=NOWHERE.format(2, "z")) as caught:
        load_csv(write("1990,z\n1,a\n2,a\n"))
    assert caught[0].filename == __file__


def test_texts_of_rows_to_predict_for_are_no_header(write):
    layout = read_examples(write("red,s,no\nblue,l,yes\nred,l,yes\nblue,s,no\n"))[1]
    assert layout.columns is None
    alone = read_examples(write("1,s\n2,l\n3,s\n"))[1]
    one_block(write("1,s\n2,l\n3,l\n"), alone)  # without a warning
    for content in ("red,s\n", "red,s,no\n", "colour,size\nred,s\n", "colour,size,y\nred,s,no\n"):
        assert_features(one_block(write(content), layout).x, [[0, 1, 0, 1]])
    assert_features(one_block(write("red,?\n"), layout, missing=True).x, [[0, 1, NAN, NAN]])
