"""The page of the index in a real browser, with names and messages that would be HTML or scripts."""

import csv
import io
import json

import pytest
from browser import Browser

from stereo3d.batches.index import COLUMNS, Index, row_of
from stereo3d.batches.work import thumbnail

HOSTILE = "</script><img src=x onerror=document.title='broken'>&amp;"


def facts(state="done", **more):
    inputs = {"left": {"file": f"/x/{HOSTILE}_L.png"}, "right": {"file": "/x/a_R.png"}}
    found = {"state": state, "inputs": inputs, "files": ["mesh.glb"] if state == "done" else []}
    return found | {"verdict": "good", "coverage": 0.5, "precision": 0.01, "seconds": 3.0, "peak_mb": 900} | more


@pytest.fixture(scope="module")
def index(tmp_path_factory):
    import numpy as np

    picture = thumbnail(np.full((90, 120, 3), 99, np.uint8), np.linspace(0, 20, 10800).reshape(90, 120))
    made = Index(str(tmp_path_factory.mktemp("index")), total=300)
    for k in range(250):
        made.add(f"p{k:03}", facts(coverage=k / 250, verdict="good" if k % 2 else "fair"), picture if k < 5 else None)
    error = {"code": "few_matches", "message": HOSTILE, "advice": "Try again."}
    made.add("zz", facts("failed", error=error, coverage=None))
    made.add("yy", facts("set aside", error={"code": "worker", "message": "it ended the process."}))
    return made, made.write()


@pytest.fixture(scope="module")
def page(index, tmp_path_factory):
    browser = Browser(tmp_path_factory.mktemp("chromium"))
    path = next(place for place in index[1] if place.endswith(".html"))
    browser.open(f"file://{path}")
    yield browser
    browser.close()


def names(page):
    return page.run("return [...document.querySelectorAll('#rows td.name')].map(cell => cell.firstChild.textContent)")


def test_failures_come_first_and_nothing_of_a_name_runs(page):
    shown = names(page)
    assert shown[:2] == ["yy", "zz"] and len(shown) == 200
    assert page.run("return document.title") != "broken"
    assert HOSTILE in page.run("return document.querySelectorAll('#rows td.reason')[1].textContent")
    assert page.run("return document.querySelectorAll('#rows img').length") == 5
    assert "not done yet" in page.run("return document.getElementById('counts').textContent")
    assert page.requests() == [] or all(str(r).startswith(("data:", "file:")) for r in page.requests())


def test_rows_are_sorted_filtered_and_paged(page):
    page.run("[...document.querySelectorAll('#head button')].find(b => b.textContent === 'Coverage').click()")
    assert names(page)[0] == "p000"
    page.run("[...document.querySelectorAll('#head button')].find(b => b.textContent.startsWith('Coverage')).click()")
    assert names(page)[:2] == ["p249", "p248"]
    page.run("document.getElementById('on').click()")
    assert len(names(page)) == 52 and names(page)[-1] == "zz"  # without a coverage: last either way
    page.run("[...document.querySelectorAll('#kinds button')].find(b => b.textContent.startsWith('good')).click()")
    assert len(names(page)) == 127
    page.run("const f = document.getElementById('find'); f.value = 'few_matches'; f.dispatchEvent(new Event('input'))")
    assert names(page) == ["zz"]


def test_the_table_holds_the_same_as_the_page(index):
    made, places = index
    with open(places[0], encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 252 and list(rows[0]) == list(COLUMNS) and rows[1]["reason"] == f"{HOSTILE} Try again."
    assert made.counts() == {"done": 250, "failed": 1, "set aside": 1}


def test_a_damaged_record_is_a_failed_row():
    row = dict(zip(COLUMNS, row_of("x", json.loads('{"coverage": "no", "files": null, "error": {}}')), strict=True))
    assert row["state"] == "failed" and row["coverage"] is None and row["name"] == "x"


def test_the_same_table_as_parquet(index):
    pyarrow = pytest.importorskip("pyarrow.parquet")
    from stereo3d.batches.index import parquet_of

    read = pyarrow.read_table(io.BytesIO(parquet_of(list(index[0].rows.values()))))
    assert read.num_rows == 252 and read.column_names == list(COLUMNS)
