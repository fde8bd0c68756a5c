"""Who may know whom: the import table of docs/design.md, read from the code itself."""

import ast
import importlib.metadata
import re
import subprocess
import sys
import tomllib
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
HEAVY = {"torch", "ray", "optuna", "mlflow", "librosa", "soundfile", "ruamel", "timm", "torchvision"}
ADDRESSES = {
    "optuna": {
        "search/api.py",  # the type of what it hands out
        "search/record/journal.py",
        "search/record/record.py",
        "search/report/importances.py",
        "search/sampler/choosers.py",
        "search/sampler/declared.py",
        "search/sampler/encoding.py",
        "search/sampler/evidence.py",
        "search/sampler/feasibility.py",
        "search/sampler/optuna_study.py",
        "search/sampler/rung_gp.py",
        "search/sampler/sampler.py",
        "search/sampler/translate.py",
    },
    "ray": {
        "search/machines/ray_cluster.py",
        "search/machines/nodes.py",
        "search/execution/gpu_share.py",
        "search/execution/ray_tune.py",
        "search/execution/worker.py",
        "search/cluster/file.py",
        "search/cluster/jobs.py",
        "search/cluster/preflight.py",
    },
    "jinja2": {"search/report/page.py"},
    "boto3": {"mgc/files/buckets.py", "search/cluster/aws.py"},
    "pyarrow": {"mgc/files/buckets.py"},
    "mlflow": {f"search/tracking/mlflow_{what}.py" for what in ("backend", "client", "runs", "model")},
    "ruamel": {"search/space/document.py"},
    "timm": {"mgc/models/timm_models.py"},
}
LIGHT = (
    "search/run.py",
    "search/__main__.py",
    "search/new.py",
    "search/space/space.py",
    "search/settings/sections.py",
    "search/space/check.py",
    "search/space/schema.py",
    "mgc/config.py",
    "mgc/networks/training_config.py",
    "mgc/networks/effective.py",
)
"""What a mistyped space file is checked with: none of the heavy packages, at any distance."""


@cache
def modules():
    return {
        str(path.relative_to(ROOT)): path for package in ("mgc", "search") for path in (ROOT / package).rglob("*.py")
    }


@cache
def imports(path, *, in_functions=True, for_types=True):
    """Full names of the modules that a file imports, with or without those inside functions and for type checks."""
    found = set()
    for node in _statements(ast.parse(path.read_text()), in_functions, for_types):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def _statements(tree, in_functions, for_types):
    todo = [tree]
    while todo:
        node = todo.pop()
        is_function = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        is_for_types = isinstance(node, ast.If) and getattr(node.test, "id", None) == "TYPE_CHECKING"
        if (in_functions or not is_function) and (for_types or not is_for_types):
            yield node
            todo += ast.iter_child_nodes(node)


def arrows():
    """Each of our files -> those of them that it imports when it runs, inside its functions too."""
    files = modules()
    return {
        name: {file for module in imports(path, for_types=False) if (file := file_of(module)) in files and file != name}
        for name, path in files.items()
    }


def file_of(module):
    """`search/record/journal.py` for search.record.journal; a package's own file where it holds code."""
    path = ROOT / module.replace(".", "/")
    return str((path / "__init__.py" if path.is_dir() else path.with_suffix(".py")).relative_to(ROOT))


@cache
def rooms():
    """Each room -> the rooms of its package that it may import, and its third-party packages, by docs/design.md.

    A room is a folder, or a file with a row of its own, which every room of its package may import.
    """
    design = (ROOT / "docs" / "design.md").read_text()
    rows = re.findall(r"^\| `((?:search|mgc)[a-z_/.]*)` \|(.*)\|(.*)\|$", design, flags=re.MULTILINE)
    return {
        room.rstrip("/"): ({f"{top(room)}/{name}" for name in names(inner)}, names(outer))
        for room, inner, outer in rows
    }


def room_of(file):
    return file if file in rooms() else str(Path(file).parent)


def names(cell):
    return {name.strip() for name in cell.split(",")} - {""}


def top(name):
    """The package of a module, a file or a room."""
    return re.split(r"[./]", name)[0]


def test_mgc_knows_nothing_of_search():
    for name, path in modules().items():
        if name.startswith("mgc/"):
            assert not {top(module) for module in imports(path)} & {"search", "ray", "optuna", "mlflow"}, name


@pytest.mark.parametrize("package", ADDRESSES)
def test_a_package_has_its_own_addresses(package):
    users = {name for name, path in modules().items() if package in {top(module) for module in imports(path)}}
    assert users == ADDRESSES[package]


def test_rooms_import_what_the_table_allows():
    files_of_all = {room for room in rooms() if room.endswith(".py")}
    for file, targets in arrows().items():
        allowed = rooms()[room_of(file)][0] | files_of_all | {room_of(file)}
        wrong = {target for target in targets if top(target) == top(file) and room_of(target) not in allowed}
        assert not wrong, f"{file} imports {wrong}, which its room may not by docs/design.md"


def test_the_arrows_between_rooms_go_one_way():
    TopologicalSorter({room: inner for room, (inner, _) in rooms().items()}).prepare()  # a CycleError names the circle


def test_the_arrows_between_files_go_one_way():
    """Those inside functions too, where an import may hide a circle."""
    TopologicalSorter(arrows()).prepare()


def test_a_room_imports_the_packages_of_the_table():
    packages = {room: set() for room in rooms()}
    for file, path in modules().items():
        packages[room_of(file)] |= third_parties(path)
    assert packages == {room: outer for room, (_, outer) in rooms().items()}


def third_parties(path):
    return {top(module) for module in imports(path)} - {"mgc", "search"} - sys.stdlib_module_names


COMES_WITH = {
    "pydantic_core": "pydantic",
    "botocore": "boto3",
    "click": "ray",
    "jsonschema": "ray",
    "threadpoolctl": "sklearn",
}
"""Packages that another one brings along at the version that it needs."""


def test_every_package_that_is_imported_is_declared():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = [name for extra in ("cluster", "timm") for name in project["optional-dependencies"][extra]]
    declared = {canonical(re.split(r"[\[>=]", entry)[0]) for entry in [*project["dependencies"], *extras]}
    distributions = importlib.metadata.packages_distributions()
    for name, path in modules().items():
        for package in third_parties(path):
            of = distributions[COMES_WITH.get(package, package)]
            assert declared & set(map(canonical, of)), (
                f"{name} imports {package}, which pyproject.toml does not declare"
            )


def canonical(distribution):
    return distribution.lower().replace("_", "-").replace(".", "-")


@pytest.mark.parametrize("entry", LIGHT)
def test_checking_a_space_file_loads_nothing_heavy(entry):
    known = modules()
    seen, todo = set(), [entry]
    while todo:
        name = todo.pop()
        if name in seen:
            continue
        seen.add(name)
        for module in imports(known[name], in_functions=False, for_types=False):
            assert top(module) not in HEAVY - {"ruamel"}, f"{entry} loads {module} by {name}"
            file = module.replace(".", "/")
            todo += [each for each in (f"{file}.py", f"{file}/__init__.py") if each in known]
    assert len(seen) > 1 or entry == "mgc/config.py"


BEFORE_AND_WHILE_RAY_STARTS = """
import sys, search.study.searching
assert not {"torch", "scipy.stats", "mlflow", "ray.tune"} & set(sys.modules), "before Ray starts"
of_ray = {name for name in sys.modules if name.partition(".")[0] == "ray"}
search.study.driver._import_what_follows()
assert {"torch", "scipy.stats"} <= set(sys.modules)
print(*({name for name in sys.modules if name.partition(".")[0] == "ray"} - of_ray))
"""


@pytest.mark.slow
def test_what_is_imported_while_ray_starts_is_nothing_of_rays():
    done = subprocess.run([sys.executable, "-c", BEFORE_AND_WHILE_RAY_STARTS], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "\n"), done.stdout + done.stderr
