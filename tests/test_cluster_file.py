"""The cluster files that are shipped, and what is said of one with a slip in it. No network, no cloud."""

import copy
import re
from pathlib import Path

import pytest
import yaml

from search.cluster import file

pytestmark = pytest.mark.slow  # each case goes through Ray's own check of such files

ROOT = Path(__file__).parents[1]
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
    "a misspelt key of the provider": (
        lambda config: config["provider"].update(regoin=config["provider"]["region"]),
        r"^provider: unknown key 'regoin' \(did you mean 'region'\?\)$",
    ),
    "no region": (lambda config: config["provider"].pop("region"), r"^provider\.region is missing$"),
    "a key that Ray does not know": (lambda config: config.update(idle_timeout_minuts=3), r"idle_timeout_minuts"),
    "a price that is none": (
        lambda config: config["available_node_types"]["gpu"]["labels"].update({file.PRICE_LABEL: "cheap"}),
        r"^available_node_types\.gpu\.labels\.usd-per-hour must be a number in quotes, got 'cheap'$",
    ),
}


@pytest.mark.parametrize("slip", SLIPS)
def test_a_slip_is_said_in_a_line_with_its_place(config, slip, tmp_path):
    assert not list(file.problems(config))
    change, expected = SLIPS[slip]
    changed = copy.deepcopy(config)
    change(changed)
    (tmp_path / "cluster.yaml").write_text(yaml.safe_dump(changed))
    with pytest.raises(file.ClusterFileError) as raised:
        file.read(tmp_path / "cluster.yaml")
    where, _, said = str(raised.value).partition(": ")
    assert where == str(tmp_path / "cluster.yaml")
    assert re.search(expected, said)


def test_a_file_that_is_not_there_is_said():
    with pytest.raises(file.ClusterFileError, match=r"^nowhere\.yaml: cannot be read: No such file or directory$"):
        file.read(Path("nowhere.yaml"))


@pytest.mark.parametrize("path", [AWS, ONPREM], ids=lambda path: path.name)
def test_ray_is_told_explicitly_to_ask_for_its_token_and_to_keep_its_pages_to_itself(path):
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
    program = {"mgc", "search", "pyproject.toml", "constraints.txt", "README.md"}
    assert set(mounts.values()) == program | {"~/.ray/auth_token"}
