"""The plug-ins of a study: what its record says of them, and that it goes on with these alone."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from small_study import HEADER, new_record, study_header

from mgc.plugins.loading import in_use, use
from mgc.plugins.plugin import Plugin, PluginError
from search.record.header import StudyHeader, new_header
from search.record.journal import RecordError
from search.record.plugins import go_on_with, leave_texts, needed_by, plugins_of
from search.space.space import Space
from search.storage.storage import restore_studies

METRIC = 'from mgc.plugins import metric\n\n\n@metric("NAME", mode="max")\ndef ones(predictions):\n    return 1\n'


@pytest.fixture(autouse=True)
def no_plugins() -> Iterator[None]:
    yield
    use(())


def plugin(name: str, *, is_asked: bool = True) -> Plugin:
    """A plug-in in `<name>.py` with a metric of this name."""
    return Plugin(name=f"{name}.py", text=METRIC.replace("NAME", name), path=f"mine/{name}.py", is_asked=is_asked)


def space(folder: Path, metric: str = "val_accuracy") -> Space:
    path = folder / "x.yaml"
    path.write_text(f"params: {{model: se_cnn, r: {{uniform: [2, 16]}}}}\nsearch: {{metric: {metric}}}\n")
    return Space.load(path)


def noted(*plugins: Plugin) -> list[dict[str, str]]:
    return [{"name": each.name, "digest": each.digest} for each in plugins]


def test_the_header_of_a_study_without_plugins_has_no_word_of_them(tmp_path: Path) -> None:
    assert "plugins" not in new_header(space(tmp_path), "x-001").json_data()
    assert "plugins" not in StudyHeader.of_json(HEADER, "x").amended(trials=5).json_data()


def test_a_study_notes_what_is_asked_for_and_of_the_rest_what_its_space_uses(tmp_path: Path) -> None:
    asked, used, unused = plugin("a"), plugin("b", is_asked=False), plugin("c", is_asked=False)
    use([asked, used, unused])
    use(needed_by(space(tmp_path, "val_b")))
    assert in_use() == (asked, used)
    header = new_header(space(tmp_path, "val_b"), "x-001")
    assert header.json_data()["plugins"] == noted(asked, used)
    assert StudyHeader.of_json(header.json_data(), "x") == header


def test_a_study_goes_on_with_its_own_plugins_alone(tmp_path: Path) -> None:
    mine, other, installed = plugin("a"), plugin("b"), plugin("c", is_asked=False)
    record = new_record(tmp_path, plugins=noted(mine))
    use([mine, other, installed])
    assert go_on_with(record) == ["plug-in mine/b.py is left out: the study began without it"]
    assert in_use() == plugins_of(record) == (mine,)


def test_a_missing_plugin_is_answered_with_the_copy_of_the_study(tmp_path: Path) -> None:
    mine = plugin("a")
    record = new_record(tmp_path, "x-001", plugins=noted(mine))
    use([mine])
    leave_texts(record.folder)
    use(())
    copy = record.folder / "plugins" / "a.py"
    line = f"study x-001 was made with the plug-in a.py (digest {mine.digest}): add --plugin {copy}"
    with pytest.raises(PluginError, match=f"^{re.escape(line)}$"):
        go_on_with(record)
    copy.write_text("print('another')\n")
    line = (
        f"study x-001 was made with the plug-in a.py (digest {mine.digest}): add --plugin FILE, where FILE is a.py as"
    )
    with pytest.raises(PluginError, match=f"^{re.escape(line)}"):
        go_on_with(record)


def test_a_changed_plugin_is_said_to_have_changed(tmp_path: Path) -> None:
    then = plugin("a")
    now = Plugin(name=then.name, text=then.text + "\n", path=then.path)
    record = new_record(tmp_path, plugins=noted(then))
    use([now])
    with pytest.raises(PluginError, match=rf"^mine/a\.py has changed since .* {then.digest} then, {now.digest} now"):
        go_on_with(record)


@pytest.mark.parametrize("name", ["../a.py", "/tmp/a.py", "a", "a.py\n"])
def test_a_record_that_names_a_file_elsewhere_is_refused(name: str) -> None:
    with pytest.raises(RecordError, match=r"header's plugins\.0\.name"):
        study_header(plugins=[{"name": name, "digest": "0"}])


def test_a_study_that_is_brought_back_from_its_storage_has_the_texts(tmp_path: Path) -> None:
    mine = plugin("a")
    use([mine])
    leave_texts(new_record(tmp_path / "shared", "x-001", plugins=noted(mine)).folder)
    assert restore_studies(str(tmp_path / "shared"), tmp_path / "runs", space="x", name=None) == ["x-001"]
    assert (tmp_path / "runs" / "x-001" / "plugins" / "a.py").read_text() == mine.text
