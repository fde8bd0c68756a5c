"""The wheel of this project, in an environment of its own: an editable install hides a package that the wheel lacks."""

from __future__ import annotations

import email
import json
import os
import shutil
import site
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

from benchmarks import tiny_study
from mgc import __version__

pytestmark = [pytest.mark.slow, pytest.mark.long]

ROOT = Path(__file__).parents[1]
PACKAGES = ("mgc", "search")


def done(*command, cwd):
    env = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME")}
    ended = subprocess.run(
        [*map(str, command)], cwd=cwd, env=env, capture_output=True, text=True, check=False, timeout=300
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Built from a copy, so that the build leaves nothing in this folder."""
    source = tmp_path_factory.mktemp("source")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    for name in PACKAGES:
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    done(sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-index", "--no-build-isolation", ".", cwd=source)
    (wheel,) = source.glob("*.whl")
    return wheel


@pytest.fixture(scope="module")
def python(wheel, tmp_path_factory):
    """A Python that has the wheel and, from this one's environment, what the wheel depends on, but not this folder."""
    folder = tmp_path_factory.mktemp("env")
    venv.create(folder, with_pip=False)
    python = folder / "bin" / "python"
    (packages,) = folder.glob("lib/python*/site-packages")
    (packages / "dependencies.pth").write_text("\n".join(site.getsitepackages()) + "\n")
    pip = [sys.executable, "-m", "pip", "--python", python, "install", "--no-deps", "--no-index", "--force-reinstall"]
    done(*pip, wheel, cwd=folder)
    return python


def test_every_file_of_the_packages_is_in_the_wheel(wheel):
    files = {path for name in PACKAGES for path in (ROOT / name).rglob("*") if path.is_file()}
    paths = {str(path.relative_to(ROOT)) for path in files if "__pycache__" not in path.parts}
    paths |= {f"search/spaces/{path.name}" for path in (ROOT / "spaces").iterdir()}
    assert {*(f"{name}/py.typed" for name in PACKAGES), "search/spaces/schema.json"} <= paths
    assert {name for name in zipfile.ZipFile(wheel).namelist() if name.startswith(PACKAGES)} >= paths


def test_the_wheel_says_what_it_is(wheel):
    archive = zipfile.ZipFile(wheel)
    [metadata] = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
    about = email.message_from_bytes(archive.read(metadata))
    assert (about["Version"], about["License-Expression"]) == (__version__, "Apache-2.0")
    assert {"cluster", "timm", "dev"} <= set(about.get_all("Provides-Extra"))
    assert "Typing :: Typed" in about.get_all("Classifier")
    license_text = archive.read(metadata.replace("METADATA", "licenses/LICENSE")).decode()
    assert license_text == (ROOT / "LICENSE").read_text()


def test_its_one_command_finds_a_shipped_space_in_any_folder(python, tmp_path):
    command = python.with_name("mgc-search")
    assert done(command, "--version", cwd=tmp_path).stdout == f"mgc-search {__version__}\n"
    assert done(command, "papers", "--csv", cwd=tmp_path).stdout.count(" --profile paper --name ") > 50
    done(command, "new", "mine.yaml", cwd=tmp_path)
    assert (tmp_path / "mine.yaml").is_file()


def test_the_wheel_searches_from_another_folder(python, tmp_path):
    where = done(python, "-c", "import search, mgc; print(search.__file__, mgc.__file__)", cwd=tmp_path).stdout
    assert all(Path(path).is_relative_to(python.parents[1]) for path in where.split())
    space = tiny_study.write_space(tmp_path, trials=2)
    searched = done(python, "-m", "search.run", space.name, "--address", "local", "--json", cwd=tmp_path)
    assert json.loads(searched.stdout.splitlines()[-1])["trials"] == 2
    assert (tmp_path / "runs" / "tiny-001" / "report" / "report.html").is_file()
