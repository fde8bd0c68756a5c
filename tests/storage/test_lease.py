"""Of several drivers one alone has the lease of a storage: on a disk and in a bucket, beside killed and silent ones."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest
from hosts import Lab, why_not
from waiting import until

from mgc.files import buckets
from search.storage import lease
from search.storage.lease import Holder, Lease, LeaseError, leased
from search.storage.storage import Folder

pytestmark = pytest.mark.slow

ELSEWHERE = Holder(driver="d", host="elsewhere", pid=7, since="2026-01-02 03:04:05", machine="another", process=1)


@pytest.fixture
def folder(storage):
    return Folder(f"{storage}/r-001")


@pytest.fixture
def soon(monkeypatch):
    """A lease is stale after a second, not after a minute."""
    for name, seconds in (("EVERY_S", 0.2), ("SURE_S", 0.6), ("STALE_S", 2.0), ("LOOK_S", 0.05)):
        monkeypatch.setattr(lease, name, seconds)


def write(folder, holder, number=1):
    folder.below("lease").write(f"{number:05d}", holder.content)


def content(folder):
    inner = folder.below("lease")
    return {name: lease._of_json(inner.read(name)) for name in inner.files()}


def has_it(folder, own):
    """Whether the newest lease is this driver's. `soon` makes SURE_S too short for `is_sure` on a busy machine."""
    return content(folder)[max(content(folder))].driver == own.holder.driver


def test_a_second_driver_is_refused_at_once_in_a_line_with_pid_host_and_age(folder):
    with leased(folder) as first:
        began = time.monotonic()
        with pytest.raises(LeaseError) as refused, leased(folder):
            pass
        assert time.monotonic() - began < 5
        assert first.is_sure
    who = f"pid {os.getpid()} on {os.uname().nodename} since "
    assert str(refused.value).startswith(f"study {folder.address} is running already: {who}")
    assert re.search(
        r", which renewed its lease \d+ s ago; stop that driver first, or choose another --name$", str(refused.value)
    )


def test_a_lease_that_was_given_back_is_free_at_once_and_numbers_go_on(folder):
    for _ in range(3):
        with leased(folder) as own:
            assert own.is_sure
    assert {name: holder.is_over for name, holder in content(folder).items()} == {"00003": True}


KILLED = """
import os, signal, sys
from search.storage.lease import leased
from search.storage.storage import Folder
with leased(Folder(sys.argv[1])):
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_the_lease_of_a_killed_driver_of_this_machine_is_free_at_once(folder):
    killed = subprocess.run([sys.executable, "-c", KILLED, folder.address], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert not content(folder)["00001"].is_over
    began = time.monotonic()
    with leased(folder) as own:
        assert own.is_sure
        assert time.monotonic() - began < 5


def test_a_process_that_has_only_the_id_of_the_driver_is_not_taken_for_it(folder):
    began_elsewhen = replace(lease._new_holder(), driver="d", pid=os.getppid(), process=1)
    write(folder, began_elsewhen)
    with leased(folder) as own:
        assert own.is_sure


def test_a_driver_that_has_ended_though_nobody_asked_how_is_dead(folder):
    child = subprocess.Popen(["sleep", "0"])
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert replace(lease._new_holder(), pid=child.pid, process=lease._process(os.getpid())).is_dead
    child.wait()


def test_the_lease_of_a_silent_driver_elsewhere_is_taken_when_it_is_stale(folder, soon, caplog):
    write(folder, ELSEWHERE)
    began = time.monotonic()
    with leased(folder) as own:
        assert has_it(folder, own)
        assert 0.5 < time.monotonic() - began < 10
    assert re.fullmatch(
        rf"waiting for at most \d s: {re.escape(str(ELSEWHERE))} had the lease of {folder.address}", caplog.messages[0]
    )


def test_a_driver_elsewhere_that_renews_its_lease_refuses_the_one_that_waits(folder, monkeypatch):
    monkeypatch.setattr(lease, "LOOK_S", 0.05)
    write(folder, ELSEWHERE)
    timer = threading.Timer(0.5, lambda: write(folder, replace(ELSEWHERE, renewals=1)))
    timer.start()
    with pytest.raises(LeaseError, match=r"is running already: pid 7 on elsewhere since "), leased(folder):
        pass
    timer.join()


def test_a_lease_that_was_silent_for_long_is_taken_without_waiting_by_the_storages_own_clock(tmp_path):
    folder = Folder(tmp_path)
    write(folder, ELSEWHERE)
    long_ago = time.time() - lease.STALE_S - 1
    os.utime(tmp_path / "lease" / "00001", (long_ago, long_ago))
    began = time.monotonic()
    with leased(folder) as own:
        assert own.is_sure and time.monotonic() - began < 5


def test_a_storage_whose_clock_was_set_back_keeps_nobody_out_for_ever(tmp_path, soon):
    folder = Folder(tmp_path)
    write(folder, ELSEWHERE)
    later = time.time() + 3600
    os.utime(tmp_path / "lease" / "00001", (later, later))
    with leased(folder) as own:
        assert has_it(folder, own)


def test_the_age_of_a_file_is_by_the_storages_own_clock(folder):
    folder.write("x", b"")
    assert -1 <= folder.age_s("x") < 30
    with pytest.raises(FileNotFoundError):
        folder.age_s("y")


@pytest.mark.parametrize("stored", [b"", b"{", b"[]", b'{"pid": "x"}'], ids=["empty", "half", "list", "other"])
def test_a_lease_that_says_nothing_is_one_of_a_silent_driver(folder, soon, stored):
    folder.below("lease").write("00001", stored)
    with leased(folder) as own:
        assert has_it(folder, own)


def test_a_lease_of_a_process_that_cannot_be_is_one_of_a_silent_driver(folder, soon):
    here = json.loads(lease._new_holder().content)
    folder.below("lease").write("00001", json.dumps({**here, "driver": "d", "pid": 10**30}).encode())
    with leased(folder):
        assert set(content(folder)) == {"00002"}


def test_no_host_of_a_lease_is_obeyed_by_a_terminal():
    assert str(replace(ELSEWHERE, host="\x1b[2J")) == r"pid 7 on \x1b[2J since 2026-01-02 03:04:05"


def test_of_many_that_take_a_free_lease_one_has_it(folder):
    write(folder, replace(ELSEWHERE, is_over=True))
    have, refused, end = [], [], threading.Event()

    def take():
        try:
            with leased(folder) as own:
                have.append(own)
                end.wait(60)
        except LeaseError:
            refused.append(1)

    threads = [threading.Thread(target=take) for _ in range(6)]
    for thread in threads:
        thread.start()
    until(lambda: len(have) + len(refused) == 6, "all know whether they have it")
    assert [own.is_sure for own in have] == [True]
    end.set()
    for thread in threads:
        thread.join()


def test_a_driver_whose_lease_was_taken_says_so_and_never_takes_it_back(folder, caplog, monkeypatch):
    monkeypatch.setattr(lease, "EVERY_S", 0.05)
    with leased(folder) as own:
        write(folder, ELSEWHERE, number=2)
        until(lambda: own.lost is not None, "the driver has seen it")
        assert not own.is_sure
        assert own.lost == f"{ELSEWHERE} has taken the lease of {folder.address}"
    assert content(folder)["00002"] == ELSEWHERE
    assert caplog.messages == [f"{own.lost}: this study ends here"]


def test_a_driver_that_could_not_renew_its_lease_no_longer_counts_on_it(folder, monkeypatch):
    with leased(folder) as own:
        now = lease._clock()
        monkeypatch.setattr(lease, "_clock", lambda: now + lease.SURE_S)
        assert not own.is_sure and own.lost is None
        own.renew()
        assert own.is_sure


def test_a_lease_that_is_renewed_in_the_moment_in_which_it_is_taken_stays(folder, monkeypatch):
    write(folder, ELSEWHERE)
    create = Folder.replace

    def late(self, name, content, version):
        new = create(self, name, content, version)
        if name == "00002":
            write(folder, replace(ELSEWHERE, renewals=1))
        return new

    monkeypatch.setattr(lease, "STALE_S", 0.2)
    monkeypatch.setattr(Folder, "replace", late)
    monkeypatch.setattr(lease, "LOOK_S", 0.01)
    looks = []
    wait = lease._wait_until_free

    def wait_once(*arguments):
        looks.append(content(folder))
        if len(looks) > 1:
            raise LeaseError("looked again")
        return wait(*arguments)

    monkeypatch.setattr(lease, "_wait_until_free", wait_once)
    with pytest.raises(LeaseError, match="looked again"), leased(folder):
        pass
    assert looks[1] == {"00001": replace(ELSEWHERE, renewals=1)}


def test_a_storage_that_is_away_ends_nothing_and_is_said_once(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(lease, "EVERY_S", 0.01)
    tried = threading.Semaphore(0)

    def refuse(self, name, content):
        tried.release()
        raise OSError("away")

    with leased(Folder(tmp_path)) as own:
        monkeypatch.setattr(Folder, "write", refuse)
        assert all(tried.acquire(timeout=10) for _ in range(3))
        assert own.lost is None
    assert caplog.messages == ["the lease on the storage could not be renewed: away"]


def test_a_study_without_a_storage_has_nothing_to_lose():
    with leased(None) as own:
        own.renew()
        assert own.is_sure and own.lost is None
    assert Lease(None).is_sure


class Unconditional:
    """boto3's client of a server that ignores conditions, or refuses them."""

    def __init__(self, client, *, refuses):
        self._client, self._refuses = client, refuses

    def __getattr__(self, operation):
        return getattr(self._client, operation)

    def put_object(self, *, IfNoneMatch=None, IfMatch=None, **arguments):
        from botocore.exceptions import ClientError

        if self._refuses and (IfNoneMatch or IfMatch):
            raise ClientError({"Error": {"Code": "NotImplemented", "Message": "no conditions"}}, "PutObject")
        return self._client.put_object(**arguments)


@pytest.mark.parametrize("refuses", [True, False])
def test_a_server_without_conditional_writes_is_named_and_guards_all_but_the_same_second(
    server, monkeypatch, caplog, refuses
):
    client = buckets._client
    monkeypatch.setattr(buckets, "_client", lambda endpoint: Unconditional(client(endpoint), refuses=refuses))
    folder = Folder(f"s3://studies-here/unconditional-{refuses}/r-001")
    with leased(folder) as own:
        assert own.is_sure
        with pytest.raises(LeaseError), leased(folder):
            pass
        write(folder, ELSEWHERE)  # in the same second after all: one of the two sees it at its next renewal
        own.renew()
        assert own.lost == f"{ELSEWHERE} has taken the lease of {folder.address}"
    assert caplog.messages[0] == (
        f"storage {folder.address} knows no conditional writes: of two drivers that begin a study in the same second "
        "both may run"
    )


def test_a_bucket_without_boto3_is_named_with_the_remedy(monkeypatch):
    from search.storage.storage import StorageError

    buckets._client.cache_clear()
    monkeypatch.setitem(sys.modules, "boto3", None)
    with (
        pytest.raises(
            StorageError, match=r"^storage s3://b/r-001 cannot be used: boto3 is not installed.* pip install"
        ),
        leased(Folder("s3://b/r-001")),
    ):
        pass


HOLD = """
import sys, time
from search.storage import lease
from search.storage.storage import Folder

lease.EVERY_S, lease.SURE_S, lease.STALE_S, lease.LOOK_S = 0.3, 1.5, 3.0, 0.1
with lease.leased(Folder(sys.argv[1])) as own:
    time.sleep(float(sys.argv[2]))
    print("sure" if own.is_sure else own.lost)
"""


@pytest.mark.skipif(why_not() is not None, reason=f"needs machines made of namespaces: {why_not()}")
def test_of_two_hosts_one_has_the_lease_until_its_power_is_cut(tmp_path):
    """Both hosts give the same numbers to their processes, and neither sees those of the other."""
    with Lab(tmp_path / "lab", network="10.78.0") as lab:
        for number, name in enumerate(("one", "two"), start=1):
            lab.start(name, f"{lab.network}.{number}")
        folder = Folder(lab.shared / "r-001")
        words = ("python", "-c", HOLD, folder.address)
        with subprocess.Popen(lab.command("one", *words, "600")):
            until(lambda: Path(folder.address, "lease", "00001").is_file(), "the first host has it")
            refused = lab.run("two", *words, "0")
            lab.cut("one")
        taken = lab.run("two", *words, "0")
    assert refused.returncode == 1
    assert re.search(r"LeaseError: study .*/r-001 is running already: pid \d+ on one since ", refused.stderr)
    assert (taken.returncode, taken.stdout) == (0, "sure\n"), taken.stderr
    assert re.match(r"waiting for at most \d s: pid \d+ on one since .* had the lease of ", taken.stderr)
