"""Who may know whom: the import table of docs/design.md, read from the code itself."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
HEAVY = {"torch", "ray", "optuna", "mlflow", "librosa", "soundfile", "ruamel", "timm", "torchvision"}
ADDRESSES = {
    "optuna": {"search/journal.py", "search/record.py", "search/sampler.py"},
    "ray": {
        "search/connection.py",
        "search/nodes.py",
        "search/rungs.py",
        "search/measuring.py",
        "search/tuner.py",
        "search/trial.py",
        "search/cluster/file.py",
        "search/cluster/jobs.py",
        "search/cluster/preflight.py",
    },
    "boto3": {"search/cluster/aws.py"},
    "pyarrow": {"mgc/buckets.py"},
    "mlflow": {"search/mlflow_runs.py", "search/mlflow_model.py"},
    "ruamel": {"search/document.py"},
    "timm": {"mgc/models/timm_models.py"},
}
LIGHT = ("search/run.py", "search/space.py", "search/study.py", "search/check.py", "search/schema.py", "mgc/config.py")
"""What a mistyped space file is checked with: none of the heavy packages, at any distance."""


def modules():
    return {
        str(path.relative_to(ROOT)): path for package in ("mgc", "search") for path in (ROOT / package).rglob("*.py")
    }


def imports(path, *, at_load_only=False):
    """Full names of the modules that a file imports; at load only: not those inside functions or for type checks."""
    found = set()
    for node in _statements(ast.parse(path.read_text()), at_load_only):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def _statements(tree, at_load_only):
    if not at_load_only:
        return ast.walk(tree)
    found, todo = [], [tree]
    while todo:
        node = todo.pop()
        skipped = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) or (
            isinstance(node, ast.If) and getattr(node.test, "id", None) == "TYPE_CHECKING"
        )
        if not skipped:
            found.append(node)
            todo += list(ast.iter_child_nodes(node))
    return found


def top(name):
    return name.split(".")[0]


def test_mgc_knows_nothing_of_search():
    for name, path in modules().items():
        if name.startswith("mgc/"):
            assert not {top(module) for module in imports(path)} & {"search", "ray", "optuna", "mlflow"}, name


@pytest.mark.parametrize("package", ADDRESSES)
def test_a_package_has_its_own_addresses(package):
    users = {name for name, path in modules().items() if package in {top(module) for module in imports(path)}}
    assert users == ADDRESSES[package]


@pytest.mark.parametrize("entry", LIGHT)
def test_checking_a_space_file_loads_nothing_heavy(entry):
    known = modules()
    seen, todo = set(), [entry]
    while todo:
        name = todo.pop()
        if name in seen:
            continue
        seen.add(name)
        for module in imports(known[name], at_load_only=True):
            assert top(module) not in HEAVY - {"ruamel"}, f"{entry} loads {module} by {name}"
            file = module.replace(".", "/")
            todo += [each for each in (f"{file}.py", f"{file}/__init__.py") if each in known]
    assert len(seen) > 1 or entry == "mgc/config.py"


BEFORE_AND_WHILE_RAY_STARTS = """
import sys, search.driver
assert not {"torch", "scipy.stats", "mlflow", "ray.tune"} & set(sys.modules), "before Ray starts"
of_ray = {name for name in sys.modules if name.partition(".")[0] == "ray"}
search.driver._import_what_follows()
assert {"torch", "scipy.stats"} <= set(sys.modules)
print(*({name for name in sys.modules if name.partition(".")[0] == "ray"} - of_ray))
"""


@pytest.mark.slow
def test_what_is_imported_while_ray_starts_is_nothing_of_rays():
    done = subprocess.run([sys.executable, "-c", BEFORE_AND_WHILE_RAY_STARTS], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "\n"), done.stdout + done.stderr
