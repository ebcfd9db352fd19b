"""Options read from signatures, checked and described."""

from typing import Annotated, Literal

import numpy as np
import pytest
from examples import tries
from hypothesis import given, settings
from hypothesis import strategies as st

from stereo3d.errors import CODES, EXIT_USAGE, StereoError
from stereo3d.options import Range, check_options, choose, options_of


def method(
    left,
    right=None,
    *,
    needed,
    count=12,
    gain: float = 1.5,
    clean: bool = True,
    name: str = "x",
    census: Literal["5x7", "7x9"] = "5x7",
    size: Literal[3, 5, 7] = 5,
    share: Annotated[float, Range(0, 1)] = 0.5,
    levels: Annotated[int, Range(1)] = 3,
    most: Annotated[float, Range(high=9)] = 4.0,
    limit: float | None = None,
    cap: Annotated[int, Range(2, 8)] | None = 4,
    far: Annotated[float | None, Range(0, 10)] = None,
    kind: Literal["a", "b"] | None = None,
):
    return left


OPTIONS = options_of(method)


def check(**given):
    return check_options("stage", OPTIONS, given)


def test_the_options_are_the_keywords_with_defaults():
    assert list(OPTIONS) == [
        "count",
        "gain",
        "clean",
        "name",
        "census",
        "size",
        "share",
        "levels",
        "most",
        "limit",
        "cap",
        "far",
        "kind",
    ]
    kinds = {name: option.kind for name, option in OPTIONS.items()}
    assert kinds["count"] is int and kinds["gain"] is float and kinds["clean"] is bool and kinds["name"] is str
    assert kinds["census"] is str and kinds["size"] is int and kinds["share"] is float and kinds["levels"] is int
    assert kinds["limit"] is float and kinds["cap"] is int and kinds["far"] is float and kinds["kind"] is str
    assert {n for n, o in OPTIONS.items() if o.optional} == {"limit", "cap", "far", "kind"}
    assert OPTIONS["share"].bounds == Range(0, 1)
    assert OPTIONS["cap"].bounds == Range(2, 8) and OPTIONS["far"].bounds == Range(0, 10)
    assert OPTIONS["census"].choices == ("5x7", "7x9")
    assert OPTIONS["count"].default == 12 and OPTIONS["limit"].default is None


def test_later_functions_add_to_earlier_ones():
    def first(*, a=1, b=2):
        pass

    def second(*, b=3.0, c="x", d=1):
        pass

    found = options_of(first, second, leave_out=("d",))
    assert {n: o.default for n, o in found.items()} == {"a": 1, "b": 2, "c": "x"}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"count": "7"}, 7),
        ({"count": 7.0}, 7),
        ({"count": np.int64(7)}, 7),
        ({"count": np.float32(7)}, 7),
        ({"gain": "2.5"}, 2.5),
        ({"gain": 2}, 2.0),
        ({"gain": "1e-3"}, 1e-3),
        ({"gain": "-2"}, -2.0),
        ({"census": "7x9"}, "7x9"),
        ({"size": "7"}, 7),
        ({"size": 3.0}, 3),
        ({"share": 0}, 0.0),
        ({"share": "1"}, 1.0),
        ({"levels": 1}, 1),
        ({"levels": 10**6}, 10**6),
        ({"most": -1e9}, -1e9),
        ({"limit": "none"}, None),
        ({"limit": None}, None),
        ({"limit": "None"}, None),
        ({"limit": "3"}, 3.0),
        ({"cap": None}, None),
        ({"cap": "8"}, 8),
        ({"far": None}, None),
        ({"far": 10}, 10.0),
        ({"kind": "b"}, "b"),
        ({"kind": None}, None),
        ({"name": "né"}, "né"),
    ],
)
def test_values_become_their_kind(given, expected):
    (value,) = check(**given).values()
    assert value == expected and type(value) is type(expected)


def test_choices_of_two_types_are_recognised_by_their_text():
    def solve(*, terms: Literal["auto", 0, 2] = "auto"): ...

    known = options_of(solve)
    for value, expected in (("auto", "auto"), (2, 2), ("2", 2), (np.int64(0), 0)):
        assert check_options("solve", known, {"terms": value}) == {"terms": expected}
    for wrong in (1, "Auto", True, None, 2.5):
        with pytest.raises(StereoError, match="auto, 0, 2"):
            check_options("solve", known, {"terms": wrong})


@pytest.mark.parametrize("word", ["true", "Yes", "ON", "1", True, 1, np.True_])
def test_words_for_true(word):
    assert check(clean=word)["clean"] is True


@pytest.mark.parametrize("word", ["false", "No", "OFF", "0", False, 0, np.False_])
def test_words_for_false(word):
    assert check(clean=word)["clean"] is False


@pytest.mark.parametrize(
    "given",
    [
        {"count": "7.5"},
        {"count": 7.5},
        {"count": np.float32(7.5)},
        {"count": "many"},
        {"count": True},
        {"count": None},
        {"count": float("nan")},
        {"count": float("inf")},
        {"count": [1]},
        {"count": ""},
        {"gain": "x"},
        {"gain": "nan"},
        {"gain": float("inf")},
        {"gain": False},
        {"gain": None},
        {"gain": [1.0]},
        {"clean": "maybe"},
        {"clean": 2},
        {"clean": None},
        {"census": "6x6"},
        {"census": None},
        {"size": 4},
        {"size": "5.0"},
        {"share": -1e-9},
        {"share": 1.0000001},
        {"share": "nan"},
        {"levels": 0},
        {"most": 9.01},
        {"cap": 1},
        {"cap": 9},
        {"far": -1},
        {"far": 11},
        {"limit": "nan"},
        {"kind": "c"},
    ],
)
def test_wrong_values_are_refused_with_what_there_is(given):
    ((name, value),) = given.items()
    with pytest.raises(StereoError) as caught:
        check(**given)
    error = caught.value
    assert error.code == "bad_option" and error.exit_code == EXIT_USAGE == CODES["bad_option"]
    assert f"stage.{name}" in error.message and repr(value) in error.message
    assert OPTIONS[name].describe() in error.advice


def test_descriptions_tell_kind_bounds_choices_and_default():
    describe = {name: option.describe() for name, option in OPTIONS.items()}
    assert describe["count"] == "int, default 12"
    assert describe["share"] == "float 0 to 1, default 0.5"
    assert describe["levels"] == "int at least 1, default 3"
    assert describe["most"] == "float at most 9, default 4.0"
    assert describe["census"] == "5x7, 7x9, default 5x7"
    assert describe["cap"] == "int 2 to 8 or none, default 4"
    assert describe["kind"] == "a, b or none, default None"


def test_an_unknown_name_is_refused_with_all_names():
    with pytest.raises(StereoError) as caught:
        check(gian=2)
    assert caught.value.code == "bad_option" and "'gian'" in caught.value.message
    assert all(name in caught.value.advice for name in OPTIONS)
    with pytest.raises(StereoError, match="none"):
        check_options("stage", {}, {"a": 1})


def test_nothing_given_is_nothing_checked():
    assert check() == {}


def test_choose_names_what_there_is():
    methods = {"one": method, "two": check}
    assert choose("matcher", methods, "two") is check
    with pytest.raises(StereoError, match="no matcher 'three'.*one, two") as caught:
        choose("matcher", methods, "three")
    assert caught.value.code == "unknown_method"


@settings(max_examples=tries(60))
@given(st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=6), st.lists(st.integers())))
def test_any_value_is_taken_whole_or_refused(value):
    for name, option in OPTIONS.items():
        try:
            taken = check(**{name: value})[name]
        except StereoError as error:
            assert error.code == "bad_option"
            continue
        assert taken is None and option.optional or type(taken) is option.kind
        if taken is not None:
            assert not option.choices or taken in option.choices
            assert option.bounds is None or option.bounds.low <= taken <= option.bounds.high
        assert check(**{name: taken})[name] == taken  # what was taken is taken again, unchanged
