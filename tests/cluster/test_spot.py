"""`cluster.yaml` the whole way, against moto for AWS and a machine made of namespaces for each instance that it knows.

Workers come for a study that asks for parts of GPUs, one is taken away as spot machines are, idle ones go, and all is
taken down. There are no GPUs: Ray is told of them by the instance type, trials run on the CPU. Takes about seven
minutes, so only where MGC_FAKE_EC2=1 asks for it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from types import SimpleNamespace

import pytest
import yaml
from hosts import ROOT, Lab, why_not
from waiting import until

from benchmarks import tiny_study
from search.machines.autoscaler import PRICE_LABEL
from search.record.files import JOURNAL
from search.record.notes import COST
from search.record.record import Record

pytestmark = [
    pytest.mark.slow,
    pytest.mark.long,
    pytest.mark.skipif("MGC_FAKE_EC2" not in os.environ, reason="needs MGC_FAKE_EC2=1: takes seven minutes"),
    pytest.mark.skipif(why_not() is not None, reason=f"needs machines made of namespaces: {why_not()}"),
]

LAPTOP = "lap"
REGION = "us-west-2"
LOOK = """
import boto3, json
found = boto3.client("ec2").describe_instances()["Reservations"]
wanted = ("InstanceId", "InstanceType", "InstanceLifecycle", "KeyName", "PrivateIpAddress", "PublicIpAddress")
instances = [instance for each in found for instance in each["Instances"]]
print(json.dumps([{**{key: i.get(key) for key in wanted}, "state": i["State"]["Name"]} for i in instances]))
"""


class Hypervisor(threading.Thread):
    """Boots a host for each instance that moto starts, and cuts the power of those that it ends."""

    def __init__(self, lab):
        super().__init__(daemon=True)
        self.lab, self.hosts, self.log, self.over = lab, {}, [], False
        self.began = time.monotonic()

    def say(self, text):
        self.log.append(f"{time.monotonic() - self.began:5.0f} s  {text}")
        print(self.log[-1], flush=True)

    def instances(self):
        done = self.lab.run(LAPTOP, "python", "-c", LOOK)
        return json.loads(done.stdout) if done.returncode == 0 else []

    def run(self):
        while not self.over:
            there = {each["InstanceId"]: each for each in self.instances()}
            running = {id_: each for id_, each in there.items() if each["state"] in ("pending", "running")}
            for id_ in running.keys() - self.hosts.keys():
                self.boot(id_, running[id_])
            for id_ in self.hosts.keys() & (there.keys() - running.keys()):
                self.say(f"gone {there[id_]['InstanceType']} {self.hosts[id_]}")
                self.lab.cut(self.hosts.pop(id_))
            time.sleep(0.5)

    def boot(self, id_, instance):
        name = f"e{len(self.log)}"
        self.lab.start(name, instance["PrivateIpAddress"], public=instance["PublicIpAddress"])
        private = self.lab.home(LAPTOP) / ".ssh" / f"{instance['KeyName']}.pem"
        public = subprocess.run(["ssh-keygen", "-y", "-f", private], capture_output=True, text=True, check=True)
        with (self.lab.home(name) / ".ssh/authorized_keys").open("a") as keys:
            keys.write(public.stdout)
        self.hosts[id_] = name
        self.say(f"boot {instance['InstanceType']} {instance['InstanceLifecycle'] or 'on demand'} as {name}")


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    with Lab(tmp_path_factory.mktemp("cloud") / "lab", network="172.31.0", bits=16, user="ubuntu") as lab:
        lab.environment = {
            "AWS_ENDPOINT_URL": "http://172.31.0.100:5000",
            "AWS_ACCESS_KEY_ID": "none",
            "AWS_SECRET_ACCESS_KEY": "none",
            "AWS_DEFAULT_REGION": REGION,
        }
        lab.start(LAPTOP, "172.31.0.100")
        with (lab.folder / "moto.log").open("wb") as log:
            command = lab.command(LAPTOP, "moto_server", "-H", "0.0.0.0", "-p", "5000")
            cloud = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        machines = Hypervisor(lab)
        try:
            until(lambda: lab.run(LAPTOP, "python", "-c", LOOK).returncode == 0, "moto answers")
            machines.start()
            lab.machines = machines
            yield lab
        finally:
            machines.over = True
            machines.join()
            cloud.terminate()
            cloud.wait()


@pytest.fixture(scope="module")
def cluster(lab):
    """cluster.yaml as it is but for what is marked EDIT, a shorter patience, and the program that is there already."""
    config = yaml.safe_load((ROOT / "cluster.yaml").read_text())
    config.update(max_workers=2, idle_timeout_minutes=1)
    config["available_node_types"]["gpu"]["max_workers"] = 2
    config["available_node_types"]["gpu"]["labels"] = {PRICE_LABEL: "0.45"}
    environment, rights, *_ = config["setup_commands"]
    environment = environment.replace("$HOME/venv/bin", f"{sys.prefix}/bin").replace("my-bucket", "studies-of-ours")
    config["setup_commands"] = [environment, rights]
    path = lab.folder / "cluster.yaml"
    path.write_text(yaml.safe_dump(config, width=10_000))
    return path


@pytest.fixture(scope="module")
def seen(lab, cluster):
    seen, machines = SimpleNamespace(most=0), lab.machines
    aws = (
        "python",
        "-m",
        "search.cluster",
        "aws",
        cluster,
        "--bucket",
        "studies-of-ours",
        "--ssh-from",
        "172.31.0.0/16",
    )
    made = lab.run(LAPTOP, *aws)
    assert made.returncode == 0, made.stderr
    made = lab.run(LAPTOP, "ray", "get-auth-token", "--generate")
    assert made.returncode == 0, made.stderr
    up = lab.run(LAPTOP, "ray", "up", "-y", cluster, "--no-config-cache", timeout=300)
    assert up.returncode == 0, up.stdout + up.stderr
    machines.say("ray up has returned")

    space = tiny_study.write_space(lab.shared, trials=8)
    lines = [line for line in space.read_text().splitlines() if not line.startswith(("budget:", "resources:"))]
    own = ["budget: {min_epochs: 15, max_epochs: 600, reduction_factor: 20}", "resources: {trials_per_gpu: 2}"]
    space.write_text("\n".join([*lines, *own]) + "\n")
    command = lab.command(LAPTOP, "python", "-m", "search.run", space, "--cluster", cluster, "--name", "spot")
    with (lab.folder / "study.out").open("wb") as out:
        study = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT)
    (head,) = machines.hosts.values()
    seen.folder = lab.home(head) / "runs" / "spot"

    def trained_on():
        assert study.poll() is None, (lab.folder / "study.out").read_text()
        if not (seen.folder / JOURNAL).is_file():
            return {}
        trials = Record.open(seen.folder).trials("running")
        return {trial.facts["node"]: trial.number for trial in trials if len(trial.epochs) > 20}

    until(lambda: len(trained_on()) >= 2, "trials run on two machines", 300)
    machines.say("trials run on two machines")
    seen.lost, seen.cut = next(iter(trained_on().items()))
    (lost,) = [id_ for id_, name in machines.hosts.items() if name == seen.lost]
    end = f"import boto3; boto3.client('ec2').terminate_instances(InstanceIds=['{lost}'])"
    assert lab.run(LAPTOP, "python", "-c", end).returncode == 0
    machines.say(f"AWS takes {seen.lost} back")
    until(lambda: "resumed_after" in Record.open(seen.folder).trial(seen.cut).facts, "its trial goes on", 300)
    machines.say("its trial goes on elsewhere")
    seen.code = study.wait(timeout=600)
    seen.said = (lab.folder / "study.out").read_text()
    machines.say("the study has ended")
    until(lambda: len(machines.hosts) == 1, "idle workers are gone", 300)
    machines.say("idle workers are gone")
    seen.down = lab.run(LAPTOP, "ray", "down", "-y", cluster)
    until(lambda: not machines.hosts, "all machines are gone")
    machines.say("ray down has left nothing that runs")
    seen.instances = machines.instances()
    return seen


def test_the_study_succeeds_on_spot_machines_of_which_one_is_taken_away(seen):
    assert seen.code == 0, seen.said
    trials = Record.open(seen.folder).trials()
    assert len(trials) == 8 and {trial.state for trial in trials} <= {"complete", "stopped"}
    cut = trials[seen.cut]
    assert cut.facts["worker_losses"] >= 1 and cut.facts["resumed_after"] >= 15
    assert cut.facts["node"] != seen.lost


def test_workers_came_for_the_study_and_went_after_it(seen, lab):
    kinds = [(each["InstanceType"], each["InstanceLifecycle"]) for each in seen.instances]
    assert kinds.count(("m5.xlarge", None)) == 1
    assert kinds.count(("g5.xlarge", "spot")) >= 3  # two, and one in the place of the lost one
    assert {each["state"] for each in seen.instances} == {"terminated"}


def test_what_it_cost_is_told(seen):
    cost = Record.open(seen.folder).noted(COST)
    assert 0 < cost["usd"] < 1 and cost["gpu_hours"] > 0
    assert "GPU hours, $0." in seen.said
