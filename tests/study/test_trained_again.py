"""A paused trial that gave its checkpoint up, since its study had ended, goes on in the longer one."""

import pytest

from benchmarks import tiny_study
from search import run
from search.record.record import Record
from search.storage.checkpoints import CHECKPOINT_FACT, GIVEN_UP


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.usefixtures("shared_ray")
def test_a_promoted_trial_without_a_checkpoint_is_trained_again_to_the_same_scores(tmp_path, capsys):
    out = tmp_path / "runs"
    space = str(tiny_study.write_space(tmp_path, trials=6))
    words = ["--out", str(out), "--offline", "--quiet"]
    assert run.main([space, "--name", "p", *words]) == 0
    first, *others = Record.open(out / "p").trials("paused")
    assert {trial.facts[CHECKPOINT_FACT] for trial in (first, *others)} == {GIVEN_UP}
    assert not list((out / "p").rglob("checkpoint.pt"))
    all_complete = f"resources.keep={4 + len(others)}"
    assert run.main([space, "--resume", "p", "--set", all_complete, *words]) == 0
    again = Record.open(out / "p").trial(first.number)
    assert (again.state, again.facts[CHECKPOINT_FACT]) == ("complete", "trained again")
    assert again.epochs[: len(first.epochs)] == first.epochs
    capsys.readouterr()
    assert run.main(["--rerun", f"p/{first.number}", "--out", str(out)]) == 0, capsys.readouterr().out
