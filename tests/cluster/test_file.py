"""The cluster files that are shipped, and the line that refuses one with a slip in it. No network, no cloud."""

import copy
import os
import re
from itertools import pairwise
from pathlib import Path

import pytest
import yaml

from search.cluster import file
from search.machines.autoscaler import PRICE_LABEL

pytestmark = pytest.mark.slow  # each case goes through Ray's own check of such files

ROOT = Path(__file__).parents[2]
AWS, ONPREM = ROOT / "cluster.yaml", ROOT / "cluster-onprem.yaml"


@pytest.fixture
def config():
    return yaml.safe_load(AWS.read_text())


@pytest.mark.parametrize("path", [AWS, ONPREM], ids=lambda path: path.name)
def test_the_shipped_files_are_in_order(path):
    assert file.read(path).name == "mgc-search"


def gpu(config):
    return config["available_node_types"]["gpu"]["node_config"]


SLIPS = {
    "a misspelt key of EC2": (
        lambda config: gpu(config).update(InstanceMarketOption=gpu(config).pop("InstanceMarketOptions")),
        r"^available_node_types\.gpu\.node_config: unknown key 'InstanceMarketOption' "
        r"\(did you mean 'InstanceMarketOptions'\?\)$",
    ),
    "a misspelt key further in": (
        lambda config: gpu(config)["BlockDeviceMappings"][0]["Ebs"].update(Encryptd=True),
        r"^available_node_types\.\w+\.node_config\.BlockDeviceMappings\[0\]\.Ebs: unknown key 'Encryptd' "
        r"\(did you mean 'Encrypted'\?\)$",
    ),
    "a value of the wrong type": (
        lambda config: gpu(config).update(InstanceType=4),
        r"^available_node_types\.gpu\.node_config: invalid type for parameter InstanceType, value: 4",
    ),
    "no instance type": (
        lambda config: gpu(config).pop("InstanceType"),
        r"^available_node_types\.gpu\.node_config\.InstanceType is missing$",
    ),
    "a user that is an option of ssh": (
        lambda config: config["auth"].update(ssh_user="-oProxyCommand=touch /tmp/evil"),
        r"^auth\.ssh_user must be a name or an address, got '-oProxyCommand=touch /tmp/evil'$",
    ),
    "a misspelt key of the provider": (
        lambda config: config["provider"].update(regoin=config["provider"]["region"]),
        r"^provider: unknown key 'regoin' \(did you mean 'region'\?\)$",
    ),
    "no spaces, to which search/spaces is a link": (
        lambda config: config["file_mounts"].pop("~/mgc-search/spaces"),
        r"^file_mounts must have ~/mgc-search/spaces too, since search/spaces is a link to it$",
    ),
    "no region": (lambda config: config["provider"].pop("region"), r"^provider\.region is missing$"),
    "a key that Ray does not know": (lambda config: config.update(idle_timeout_minuts=3), r"idle_timeout_minuts"),
    "no provider": (lambda config: config.pop("provider"), r"^'provider' is a required property$"),
    "node types as a list": (
        lambda config: config.update(available_node_types=[]),
        r"^available_node_types: \[\] is not of type 'object'$",
    ),
    "a command that is a number": (
        lambda config: config["head_start_ray_commands"].append(3),
        r"^head_start_ray_commands\[\d\]: 3 is not of type 'string'$",
    ),
    "a provider that Ray does not have": (
        lambda config: config["provider"].update(type="aw"),
        r"^Unsupported node provider: aw$",
    ),
    "a price that is none": (
        lambda config: config["available_node_types"]["gpu"]["labels"].update({PRICE_LABEL: "cheap"}),
        r"^available_node_types\.gpu\.labels\.usd-per-hour must be a number in quotes, got 'cheap'$",
    ),
}


@pytest.mark.parametrize("slip", SLIPS)
def test_a_slip_is_refused_in_a_line_with_its_place(config, slip, tmp_path):
    assert not list(file.problems(config))
    change, expected = SLIPS[slip]
    changed = copy.deepcopy(config)
    change(changed)
    (tmp_path / "cluster.yaml").write_text(yaml.safe_dump(changed))
    with pytest.raises(file.ClusterFileError) as raised:
        file.read(tmp_path / "cluster.yaml")
    where, _, problem = str(raised.value).partition(": ")
    assert where == str(tmp_path / "cluster.yaml")
    assert re.search(expected, problem)


def test_a_local_cluster_without_its_addresses_is_refused(tmp_path):
    config = yaml.safe_load(ONPREM.read_text())
    del config["provider"]["head_ip"]
    (line,) = file.problems(config)
    assert line.startswith("Please supply a `head_ip` and list of `worker_ips`.")


@pytest.mark.parametrize(
    ("key", "value", "place"),
    [
        ("head_ip", "-oProxyCommand=id", "head_ip"),
        ("head_ip", "10.0.0.1;id", "head_ip"),
        ("worker_ips", ["10.0.0.2", "$(id)"], r"worker_ips\[1\]"),
    ],
)
def test_an_address_that_is_a_command_is_refused(key, value, place):
    config = yaml.safe_load(ONPREM.read_text())
    config["provider"][key] = value
    (line,) = file.problems(config)
    assert re.fullmatch(rf"provider\.{place} must be a name or an address, got '.*'", line)


BOMB = "\n".join(f"{name}: &{name} [{', '.join([f'*{inner}'] * 9)}]" for inner, name in pairwise("abcdefgh"))
HOSTILE = {
    "aliases of aliases": (f"a: &a [x]\n{BOMB}".encode(), "has more than 10000 values, counting those behind aliases"),
    "an alias in a circle": (b"a: &a [*a]", "has more than 10000 values, counting those behind aliases"),
    "brackets by the thousand": (b"[" * 3000, "is nested too deeply"),
    "too long": (b"# " + b"x" * 200_000, "a cluster's file must be <= 100000 bytes"),
    "no UTF-8": (b"cluster_name: caf\xe9", "'utf-8' codec can't decode byte 0xe9 in position 17: .*"),
    "a date of no calendar": (b"a: 2026-99-99", "month must be in 1..12"),
}


@pytest.mark.parametrize("lie", HOSTILE)
def test_a_hostile_cluster_file_is_one_line(tmp_path, lie):
    content, reason = HOSTILE[lie]
    path = tmp_path / "cluster.yaml"
    path.write_bytes(content)
    with pytest.raises(file.ClusterFileError, match=rf"^{path}: {reason}$"):
        file.read(path)


def test_a_key_that_stands_twice_is_named_with_its_line(tmp_path):
    path = tmp_path / "cluster.yaml"
    path.write_text(f"{AWS.read_text()}\nprovider: {{type: aws}}\n")
    lines = len(AWS.read_text().splitlines()) + 2
    with pytest.raises(file.ClusterFileError, match=rf"^{path}:{lines}: duplicate key 'provider'$"):
        file.read(path)


@pytest.mark.parametrize("make", [os.mkfifo, lambda path: path.symlink_to("/dev/zero")], ids=["pipe", "device"])
def test_a_cluster_file_without_an_end_holds_nobody_up(tmp_path, make):
    make(tmp_path / "cluster.yaml")
    with pytest.raises(file.ClusterFileError, match=r": cannot be read: not a regular file$"):
        file.read(tmp_path / "cluster.yaml")


def test_a_file_that_is_not_there_is_refused_in_a_line():
    with pytest.raises(file.ClusterFileError, match=r"^nowhere\.yaml: cannot be read: No such file or directory$"):
        file.read(Path("nowhere.yaml"))


@pytest.mark.parametrize("path", [AWS, ONPREM], ids=lambda path: path.name)
def test_ray_asks_for_its_token_and_serves_its_pages_on_the_head_alone(path):
    config = yaml.safe_load(path.read_text())
    assert config["file_mounts"]["~/.ray/auth_token"] == "~/.ray/auth_token"
    starts = [
        command
        for key in ("head_start_ray_commands", "worker_start_ray_commands")
        for command in config[key]
        if "ray start" in command
    ]
    assert len(starts) == 2
    assert all("RAY_AUTH_MODE=token" in command for command in starts)
    assert "--dashboard-host=127.0.0.1" in starts[0]
    mlflow = [command for command in config["head_start_ray_commands"] if "mlflow server" in command]
    assert ["--host 127.0.0.1" in command for command in mlflow] == [True]


@pytest.mark.parametrize("path", [AWS, ONPREM], ids=lambda path: path.name)
def test_only_the_program_and_the_token_leave_the_laptop(path):
    mounts = yaml.safe_load(path.read_text())["file_mounts"]
    program = {"mgc", "search", "spaces", "pyproject.toml", "constraints.txt", "README.md"}
    assert set(mounts.values()) == program | {"~/.ray/auth_token"}
