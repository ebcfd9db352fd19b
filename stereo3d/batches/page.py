"""`index.html`: every pair of a batch with its thumbnail, to sort and to filter, in one file that asks for nothing."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from importlib import resources
from typing import Any

from .. import __version__


def index_page(
    rows: Sequence[tuple[Any, ...]], columns: Sequence[str], thumbs: Mapping[str, bytes], total: int = 0
) -> bytes:
    """Return the page.

    Parameters
    ----------
    rows : sequence of tuples
        In the order in which they are shown first.
    columns : sequence of str
        Their names.
    thumbs : mapping
        {name: bytes} of JPEG pictures.
    total : int
        Pairs of the batch, those to come included.
    """
    facts = {
        "columns": list(columns),
        "rows": rows,
        "thumbs": {name: base64.b64encode(data).decode() for name, data in thumbs.items()},
        "total": total,
        "version": __version__,
    }
    data = json.dumps(facts, allow_nan=False, ensure_ascii=False, separators=(",", ":"))
    data = data.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")
    style, script = asset("index.css"), asset("index.js")
    # the hashes allow exactly this style and this script: nothing that a file name smuggles in can run or load
    policy = (
        "default-src 'none'; base-uri 'none'; form-action 'none'; img-src data:; "
        f"style-src {_hash(style)}; script-src {_hash(script)}"
    )
    page = f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="generator" content="stereo3d"><meta name="color-scheme" content="light dark">
<title>Batch of pairs \u2013 stereo3d</title><link rel="icon" href="data:,">
<style>{style}</style></head>
<body>{BODY}
<script type="application/json" id="facts">{data}</script>
<script>{script}</script>
</body></html>
"""
    return page.encode("utf-8", "backslashreplace")


BODY = """<header><h1>Pairs</h1><p id="counts"></p></header>
<form id="filters" role="search">
<label>Find <input id="find" type="search" autocomplete="off" placeholder="name, reason, file"></label>
<fieldset id="kinds"><legend>Show</legend></fieldset>
<label>Sort <select id="order"></select></label>
</form>
<p id="shown" role="status"></p>
<table><thead><tr id="head"></tr></thead><tbody id="rows"></tbody></table>
<nav id="pages" aria-label="Pages"><button id="back" type="button">Earlier</button><span id="place"></span>
<button id="on" type="button">Later</button></nav>
<noscript><p>JavaScript, which makes the table, is switched off; index.csv holds the same.</p></noscript>"""


def asset(name: str) -> str:
    """Return the text of a file of this folder."""
    return resources.files(__package__ or "").joinpath(name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode('utf-8')).digest()).decode()}'"
