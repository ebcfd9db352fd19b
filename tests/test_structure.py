"""The tree of the package: which file may import which, how long files and functions may grow.

The complexity of functions, the number of their arguments and their docstrings are checked by ruff (pyproject.toml).
"""

import ast
import functools
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "stereo3d"

# A folder, or a file directly in the package, imports only from lines above its own, never from its own line.
LAYERS = (
    ("__init__",),  # loads its names on first use and imports nothing
    ("errors",),
    ("geometry", "resources"),
    ("records", "options", "kernel_cache"),
    ("foreign",),
    ("images", "io"),
    ("cameras", "features", "two_view", "rectification", "disparity", "triangulation", "mesh"),
    ("diagnosis", "synthetic", "evaluation"),
    ("pipeline",),
    ("output",),
    ("install",),
    ("app", "batches"),
    ("cli",),
    ("__main__",),
)
LAYER = {name: number for number, names in enumerate(LAYERS) for name in names}

MAX_FILE_LINES = 450
MAX_FUNCTION_LINES = 80  # from `def` to the last line, docstring included
MAX_FILES_AT_THE_TOP = 8
MAX_TOLD = 5  # uses of the word in the package, in its everyday sense
DATA = {"synthetic/still_life.py:still_life"}  # functions that list numbers: no logic that a reader has to follow

# ------------------------------------------------------------------------------------------------ reading the imports


parse = functools.cache(ast.parse)  # the tests below read each file several times


def module_names(root: Path) -> dict[str, Path]:
    """{dotted name below the package: file}; a folder's `__init__.py` is `folder.__init__`."""
    return {".".join(path.relative_to(root).with_suffix("").parts): path for path in sorted(root.rglob("*.py"))}


def imported_names(tree: ast.AST, package: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """Absolute names, as tuples, of every import in a syntax tree, those inside functions too.

    `from a import b` gives ("a", "b"): b may be a module or a name within a. package: of the file, ("stereo3d", ...).
    `import_module("...")` with a literal counts as an import.
    """
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (tuple(alias.name.split(".")) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            base += tuple(node.module.split(".")) if node.module else ()
            yield from ((*base, alias.name) for alias in node.names)
        elif isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] == "import_module" and node.args:
            name = node.args[0]
            if isinstance(name, ast.Constant) and isinstance(name.value, str):
                rest = name.value.lstrip(".")
                level = len(name.value) - len(rest)
                yield (*(package[: len(package) - level + 1] if level else ()), *rest.split("."))


def import_graph(root: Path) -> dict[str, set[str]]:
    """{file: files of the package that it imports}, by dotted names as in `module_names`.

    A name that is no module counts as an import of the file that holds it. The package's own `__init__` is `__init__`.
    """
    files = module_names(root)
    graph: dict[str, set[str]] = {}
    for name, path in files.items():
        package = (root.name, *path.relative_to(root).parts[:-1])
        graph[name] = set()
        for target in imported_names(parse(path.read_text(encoding="utf-8")), package):
            if target[0] != root.name:
                continue
            found = resolve(target[1:], files)
            if found and found != name:
                graph[name].add(found)
    return graph


def resolve(name: tuple[str, ...], files: dict[str, Path]) -> str | None:
    """The file that holds a dotted name: the longest beginning of the name that is a module or a folder."""
    for length in range(len(name), -1, -1):
        begin = ".".join(name[:length])
        for candidate in (begin, f"{begin}.__init__" if begin else "__init__"):
            if candidate in files:
                return candidate
    return None


def find_circle(graph: dict[str, set[str]]) -> list[str]:
    """The names of one circle, in order, or an empty list."""
    done: set[str] = set()
    for start in graph:
        stack: list[tuple[str, Iterator[str]]] = [(start, iter(sorted(graph[start])))] if start not in done else []
        on_path = [start]
        while stack:
            name, following = stack[-1]
            target = next((t for t in following if t not in done), None)
            if target is None:
                done.add(name)
                stack.pop()
                on_path.pop()
            elif target in on_path:
                return [*on_path[on_path.index(target) :], target]
            else:
                stack.append((target, iter(sorted(graph.get(target, ())))))
                on_path.append(target)
    return []


def contracted(graph: dict[str, set[str]], folder: str) -> dict[str, set[str]]:
    """The graph of what lies directly in a folder ("" for the package): its files, and each folder as one node."""
    prefix = f"{folder}." if folder else ""

    def node(name: str) -> str:
        return name[len(prefix) :].split(".")[0]

    result: dict[str, set[str]] = {}
    for name, targets in graph.items():
        if name.startswith(prefix):
            inside = {node(t) for t in targets if t.startswith(prefix)}
            result.setdefault(node(name), set()).update(inside - {node(name)})
    return result


def upward_imports(graph: dict[str, set[str]], layer: dict[str, int]) -> list[str]:
    """Imports from a folder's own layer or a higher one, as sentences."""
    wrong = []
    for name, targets in graph.items():
        own = name.split(".")[0]
        for target in sorted(targets):
            other = target.split(".")[0]
            if own != other and layer[other] >= layer[own]:
                wrong.append(f"{name} imports {target}")
    return wrong


def private_uses(root: Path) -> list[str]:
    """Names with a leading underscore that a file takes from another file of the package, as sentences."""
    files, wrong = module_names(root), []
    for name, path in files.items():
        tree = parse(path.read_text(encoding="utf-8"))
        package = (root.name, *path.relative_to(root).parts[:-1])
        wrong += [
            f"{name} imports {'.'.join(target[1:])}"
            for target in imported_names(tree, package)
            if target[0] == root.name and is_private(target[-1])
        ]
        modules = set()  # names in this file under which it has a module of the package
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom):
                base = package[: len(package) - node.level + 1] if node.level else ()
                base += tuple(node.module.split(".")) if node.module else ()
                for alias in node.names:
                    inside = ".".join((*base, alias.name)[1:])
                    if base[:1] == (root.name,) and (inside in files or f"{inside}.__init__" in files):
                        modules.add(alias.asname or alias.name)
        wrong += [
            f"{name} uses {ast.unparse(node)}"
            for node in ast.walk(tree)
            if isinstance(node, ast.Attribute)
            and is_private(node.attr)
            and isinstance(node.value, ast.Name)
            and node.value.id in modules
        ]
    return wrong


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__")


def foreign_imports(graph: dict[str, set[str]]) -> list[str]:
    """Imports of a folder's `__init__` from outside its folder, as sentences."""
    return [
        f"{name} imports {target}"
        for name, targets in graph.items()
        if name.endswith(".__init__")
        for target in sorted(targets)
        if not target.startswith(name.removesuffix("__init__"))
    ]


def functions(path: Path) -> Iterator[tuple[str, int]]:
    """(name, lines) of each function and method of a file."""
    for node in ast.walk(parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert node.end_lineno is not None
            yield node.name, node.end_lineno - node.lineno + 1


# ------------------------------------------------------------------------------------------------------- the package


@pytest.fixture(scope="module")
def graph() -> dict[str, set[str]]:
    return import_graph(PACKAGE)


def test_each_folder_has_its_layer():
    assert {name.split(".")[0] for name in module_names(PACKAGE)} <= set(LAYER)


def test_imports_go_down_only(graph):
    assert upward_imports(graph, LAYER) == []


def test_no_circle_between_files(graph):
    assert find_circle(graph) == []


def test_no_circle_between_the_folders_inside_a_folder(graph):
    folders = {"", *(name.rpartition(".")[0] for name in graph)}
    assert {folder: circle for folder in sorted(folders) if (circle := find_circle(contracted(graph, folder)))} == {}


def test_the_init_of_each_folder_imports_only_from_its_folder(graph):
    assert foreign_imports(graph) == []


def test_no_file_takes_a_private_name_from_another():
    assert private_uses(PACKAGE) == []


def test_the_word_told_is_rare():
    """Findings, estimates and options have names of their own."""
    uses = [
        f"{name}: {line.strip()}"
        for name, path in module_names(PACKAGE).items()
        for line in path.read_text(encoding="utf-8").splitlines()
        if re.search(r"\btold\b", line, re.IGNORECASE)
    ]
    assert len(uses) <= MAX_TOLD, uses


def test_no_file_is_long():
    lines = {name: len(path.read_text(encoding="utf-8").splitlines()) for name, path in module_names(PACKAGE).items()}
    assert {name: count for name, count in lines.items() if count > MAX_FILE_LINES} == {}


def test_few_files_lie_directly_in_the_package():
    names = [name for name in module_names(PACKAGE) if "." not in name]
    assert len(names) <= MAX_FILES_AT_THE_TOP, names


def test_no_function_is_long():
    long = {}
    for path in module_names(PACKAGE).values():
        for name, lines in functions(path):
            place = f"{path.relative_to(PACKAGE).as_posix()}:{name}"
            if lines > MAX_FUNCTION_LINES and place not in DATA:
                long[place] = lines
    assert long == {}


def test_the_tests_mirror_the_tree():
    """A folder of tests bears the name of a folder of the package."""
    tests = {path.name for path in Path(__file__).parent.iterdir() if path.is_dir() and any(path.glob("test_*.py"))}
    assert tests <= set(LAYER)


# ------------------------------------------------------------------------------------------------- the reader itself


@pytest.fixture
def made_up(tmp_path):
    """A function that writes {path: source} below a package `stereo3d` and returns its folder."""

    def write(sources: dict[str, str]) -> Path:
        root = tmp_path / "stereo3d"
        for name, source in {"__init__.py": "", **sources}.items():
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(source, encoding="utf-8")
        return root

    return write


@pytest.mark.parametrize(
    "source, expected",
    [
        ("import numpy", set()),
        ("import stereo3d.mesh.build", {"mesh.build"}),
        ("from stereo3d import errors", {"errors"}),
        ("from stereo3d import reconstruct", {"__init__"}),
        ("from ..errors import StereoError", {"errors"}),
        ("from .. import errors, mesh", {"errors", "mesh.__init__"}),
        ("from ..mesh import build_mesh", {"mesh.__init__"}),
        ("from ..mesh import build", {"mesh.build"}),
        ("from ..mesh.build import build_mesh", {"mesh.build"}),
        ("from . import second", {"io.second"}),
        ("from .second import f as g", {"io.second"}),
        ("def f():\n    from .second import g", {"io.second"}),
        ("class A:\n    def f(self):\n        import stereo3d.errors", {"errors"}),
        ("if TYPE_CHECKING:\n    from ..errors import StereoError", {"errors"}),
        ("importlib.import_module('stereo3d.mesh.build')", {"mesh.build"}),
        ("import_module('..mesh', __package__)", {"mesh.__init__"}),
        ("import stereo3d.no_such_module", {"__init__"}),
    ],
)
def test_the_reader_sees_every_form_of_import(made_up, source, expected):
    root = made_up(
        {
            "errors.py": "",
            "mesh/__init__.py": "from .build import build_mesh",
            "mesh/build.py": "",
            "io/__init__.py": "",
            "io/first.py": source,
            "io/second.py": "",
        }
    )
    graph = import_graph(root)
    assert graph["io.first"] == expected
    assert graph["mesh.__init__"] == {"mesh.build"} and graph["io.second"] == set()


def test_an_upward_and_a_sideways_import_are_found(made_up):
    root = made_up(
        {
            "low/a.py": "def f():\n    from ..high import b",
            "high/b.py": "from ..low.a import f\nfrom ..beside.c import g",
            "beside/c.py": "",
        }
    )
    layer = {"low": 0, "high": 1, "beside": 1, "__init__": 2}
    assert upward_imports(import_graph(root), layer) == ["high.b imports beside.c", "low.a imports high.b"]


def test_a_private_name_is_found_however_it_is_taken(made_up):
    root = made_up(
        {
            "a/x.py": "from .y import _f, g, __doc__\nfrom . import y as z\nz._h\nz.g\nself._own\nz.__name__",
            "a/y.py": "def h():\n    from ..b import w\n    return w._secret",
            "b/w.py": "import numpy\nfrom numpy import _core\nnumpy._core",
        }
    )
    assert private_uses(root) == ["a.x imports a.y._f", "a.x uses z._h", "a.y uses w._secret"]


def test_an_init_that_imports_from_elsewhere_is_found(made_up):
    root = made_up(
        {
            "a/__init__.py": "from .x import f\nfrom ..b import w\nfrom .c.y import g",
            "a/x.py": "from ..b import w",
            "a/c/__init__.py": "from ..x import f",
            "a/c/y.py": "",
            "b/w.py": "",
        }
    )
    assert foreign_imports(import_graph(root)) == ["a.__init__ imports b.w", "a.c.__init__ imports a.x"]


def test_a_circle_through_a_function_is_found(made_up):
    root = made_up(
        {"a/x.py": "from .y import g", "a/y.py": "from .z import h", "a/z.py": "def h():\n    from . import x"}
    )
    assert find_circle(import_graph(root)) == ["a.x", "a.y", "a.z", "a.x"]
    (root / "a/z.py").write_text("", encoding="utf-8")
    assert find_circle(import_graph(root)) == []


def test_the_init_of_a_folder_imports_its_own_files_but_not_the_reverse(made_up):
    root = made_up({"a/__init__.py": "from .x import f", "a/x.py": "from .y import g", "a/y.py": ""})
    assert find_circle(import_graph(root)) == []
    (root / "a/y.py").write_text("from . import f", encoding="utf-8")
    assert find_circle(import_graph(root)) == ["a.__init__", "a.x", "a.y", "a.__init__"]


def test_a_circle_between_folders_is_found_where_none_is_between_files(made_up):
    root = made_up({"a/p/one.py": "from ..q.two import f", "a/q/two.py": "", "a/q/three.py": "from ..p import four"})
    (root / "a/p/four.py").write_text("", encoding="utf-8")
    graph = import_graph(root)
    assert find_circle(graph) == [] and find_circle(contracted(graph, "")) == []
    assert find_circle(contracted(graph, "a")) == ["p", "q", "p"]


def test_long_functions_are_measured_with_their_docstring(tmp_path):
    path = tmp_path / "a.py"
    path.write_text('@decorated\ndef f(a):\n    """One.\n\n    Two.\n    """\n    return a\n\n\nasync def g(): ...\n')
    assert dict(functions(path)) == {"f": 6, "g": 1}


def test_threads_are_those_that_the_process_may_use():
    """Python's own default, and the machine's count, know neither a container's quota nor `STEREO3D_THREADS`."""
    unasked = re.compile(r"ThreadPoolExecutor\(\)|cpu_count\(|cpu_count or")
    found = {p.relative_to(PACKAGE).as_posix() for p in PACKAGE.rglob("*.py") if unasked.search(p.read_text("utf-8"))}
    assert found <= {"resources.py"}
