"""YAML, XML and JSON of foreign origin as plain values, with bounds for nesting and entries."""

import json
import re
from typing import Any

from .check import bad

MAX_DEPTH = 32  # maps and lists within one another; calibrations have up to 6
MAX_ENTRIES = 100_000  # values, maps and lists of a file; a calibration with all its corners has some 10,000
# YAML 1.2's numbers and those of OpenCV and Python (7., 1e-3, .Inf); YAML 1.1 would read 1e-3 as text and 010 as 8
_NUMBER = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|Nan|NAN)")


def load_yaml(text: str) -> list[Any]:
    """Return the documents of a YAML text: dicts, lists, numbers, strings and None.

    Parameters
    ----------
    text : str
        Without "%YAML" lines or with them. Tags are ignored, since they cannot name anything but plain values here.

    Raises
    ------
    StereoError
        "bad_calibration" for text that is no YAML, for aliases, and beyond `MAX_DEPTH` or `MAX_ENTRIES`.
    """
    import yaml

    text = re.sub(r"(?m)^%YAML[^\n]*$", "", text)  # OpenCV writes "%YAML:1.0", which is no YAML
    text = text.replace("!!opencv-matrix", "").replace("!!opencv-nd-matrix", "")
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        return _documents(yaml.parse(text, Loader=loader))
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f", line {mark.line + 1}" if mark is not None else ""
        reason = getattr(error, "problem", None) or str(error).splitlines()[0]
        raise bad(f"is not readable as YAML ({reason[:120]}{place})") from error


def load_json(text: str) -> Any:
    """Return the value of a JSON text.

    Raises
    ------
    StereoError
        "bad_calibration" for text that is no JSON, and beyond `MAX_ENTRIES`.
    """
    if (count := text.count(",") + text.count("[") + text.count("{")) > MAX_ENTRIES:
        raise bad(f"has more than {MAX_ENTRIES} entries in its JSON", "A calibration has some hundred.", entries=count)
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise bad(f"is not readable JSON ({error})") from error


def json_object(text: str, form: str) -> dict[str, Any]:
    """Return the entries of a JSON text that must be an object; form: for the message."""
    value = load_json(text)
    if not isinstance(value, dict):
        raise bad(f"is {form}, but no JSON object with names")
    return value


class _Builder:
    """Plain values from the events of a parser, without recursion."""

    def __init__(self, kind: str) -> None:
        self.kind, self.entries = kind, 0
        self.open: list[tuple[Any, str | None]] = []  # maps and lists not yet closed, and the key that waits in a map
        self.roots: list[Any] = []

    def start(self, container: dict | list) -> None:
        """Open a map or a list."""
        self._put(container)
        self.open.append((container, None))
        if len(self.open) > MAX_DEPTH:
            raise bad(f"nests its {self.kind} deeper than {MAX_DEPTH} levels", depth=len(self.open))

    def end(self) -> None:
        """Close it."""
        self.open.pop()

    def value(self, value: Any) -> None:
        """Add a plain value; in a map keys and values take turns."""
        if self.open and isinstance(self.open[-1][0], dict) and self.open[-1][1] is None:
            self.open[-1] = self.open[-1][0], str(value)
        else:
            self._put(value)

    def _put(self, value: Any) -> None:
        self.entries += 1
        if self.entries > MAX_ENTRIES:
            raise bad(f"has more than {MAX_ENTRIES} entries", "A calibration has some hundred.", entries=self.entries)
        if not self.open:
            self.roots.append(value)
            return
        container, key = self.open[-1]
        if isinstance(container, list):
            container.append(value)
        elif key is None:
            raise bad(f"has a map or a list as a key of its {self.kind}")
        else:
            container[key] = value
            self.open[-1] = container, None


def _documents(events: Any) -> list[Any]:
    """The documents that PyYAML's parser events describe."""
    import yaml

    builder = _Builder("YAML")
    for event in events:
        if isinstance(event, yaml.MappingStartEvent):
            builder.start({})
        elif isinstance(event, yaml.SequenceStartEvent):
            builder.start([])
        elif isinstance(event, yaml.MappingEndEvent | yaml.SequenceEndEvent):
            builder.end()
        elif isinstance(event, yaml.ScalarEvent):
            builder.value(event.value if event.style in ("'", '"') else plain_value(event.value))
        elif isinstance(event, yaml.AliasEvent):
            raise bad("refers to another entry by an alias (*)", "Write the entry out.")
    return builder.roots


def plain_value(text: str) -> float | str | None:
    """Return an unquoted scalar as number, None or text."""
    if text in ("", "~", "null", "Null", "NULL"):
        return None
    if _NUMBER.fullmatch(text):
        return float(re.sub(r"\.(?=[iInN])", "", text))
    return text


def load_xml(text: str) -> Any:
    """Return the content of an XML text's root: children as a dict by tag, children named `_` as a list, numbers.

    Raises
    ------
    StereoError
        "bad_calibration" for text that is no XML, for a document type or entities, and beyond `MAX_DEPTH` or
        `MAX_ENTRIES`.
    """
    return xml_root(text).content()


def xml_root(text: str) -> "Element":
    """Return the root of an XML text with its attributes; errors as those of `load_xml`."""
    from xml.parsers import expat

    root = Element({})
    stack, count = [root], 0

    def start(tag: str, attributes: dict[str, str]) -> None:
        nonlocal count
        count += 1
        if len(stack) > MAX_DEPTH:
            raise bad(f"nests its XML deeper than {MAX_DEPTH} levels", depth=len(stack))
        if count > MAX_ENTRIES:
            raise bad(f"has more than {MAX_ENTRIES} entries", "A calibration has some hundred.", entries=count)
        element = Element(attributes)
        stack[-1].children.append((tag, element))
        stack.append(element)

    def end(tag: str) -> None:
        stack.pop()

    def characters(part: str) -> None:
        stack[-1].text.append(part)

    def refuse(*_: object) -> None:
        raise bad("declares a document type or entities in its XML", "Remove the DOCTYPE.")

    parser = expat.ParserCreate("utf-8")
    parser.buffer_text = True
    parser.StartElementHandler, parser.EndElementHandler, parser.CharacterDataHandler = start, end, characters
    parser.StartDoctypeDeclHandler = parser.EntityDeclHandler = refuse
    try:
        parser.Parse(text.encode("utf-8"), True)
    except expat.ExpatError as error:
        raise bad(f"is not readable as XML ({error})") from error
    return root.children[0][1]


class Element:
    """An element of an XML text.

    Attributes
    ----------
    attributes : dict
        Name -> value, as text.
    children : list of (str, Element)
        Tag and element.
    text : list of str
        Parts of its own text.
    """

    def __init__(self, attributes: dict[str, str]) -> None:
        self.attributes = attributes
        self.children: list[tuple[str, Element]] = []
        self.text: list[str] = []

    def find(self, tag: str) -> "Element | None":
        """Return the first child of a tag, None where there is none."""
        return next((child for name, child in self.children if name == tag), None)

    def find_all(self, tag: str) -> "list[Element]":
        """Return all elements of a tag below this one; the depth is bounded."""
        found = []
        for name, child in self.children:
            found += [child] if name == tag else child.find_all(tag)
        return found

    def content(self) -> Any:
        """Dict, list, number, list of numbers, text or None; the depth is bounded."""
        if self.children and all(tag == "_" for tag, _ in self.children):
            return [child.content() for _, child in self.children]
        if self.children:
            return {tag: child.content() for tag, child in self.children}
        text = "".join(self.text).strip()
        if text[:1] in ("'", '"') and text[-1:] == text[:1] and len(text) > 1:
            return text[1:-1]
        words = text.split()
        if len(words) > MAX_ENTRIES:
            raise bad(f"has more than {MAX_ENTRIES} entries", "A calibration has some hundred.", entries=len(words))
        values = [plain_value(word) for word in words]
        if values and all(isinstance(value, float) for value in values):
            return values if len(values) > 1 else values[0]
        return text or None
