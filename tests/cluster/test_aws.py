"""What AWS is asked for by `ray up cluster.yaml`, and what `search.cluster aws` makes beforehand: against moto, inside
this process. It is Ray's own launcher that asks; only SSH into the machines is left out.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from types import SimpleNamespace

import boto3
import pytest
import yaml
from botocore.exceptions import ClientError, NoCredentialsError
from moto import mock_aws

from mgc.words.errors import ConfigError
from search.cluster import aws, file

pytestmark = pytest.mark.slow

CLUSTER = Path(__file__).parents[2] / "cluster.yaml"
OWN = "198.51.100.7/32"


@pytest.fixture(scope="module")
def account(tmp_path_factory):
    """An AWS account of nobody's, in this process."""
    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch, mock_aws():
        for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_CA_BUNDLE", "AWS_ENDPOINT_URL"):
            patch.delenv(name, raising=False)
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            patch.setenv(name, "none")
        patch.setenv("AWS_DEFAULT_REGION", "us-west-2")
        patch.setenv("HOME", str(home))  # where Ray puts the key pair that it makes
        yield patch


@pytest.fixture(scope="module")
def asked(account):
    """Every request that changes something, in order, while the account is prepared and the machines are started."""
    requests = []
    boto3.setup_default_session()
    boto3.DEFAULT_SESSION.events.register(
        "before-parameter-build.*.*",
        lambda params, model, **_: requests.append((model.name, json.loads(json.dumps(params, default=str)))),
    )
    said = list(aws.prepare(file.read(CLUSTER), bucket="studies-of-ours", ssh_from=OWN))
    list(aws.prepare(file.read(CLUSTER), bucket="studies-of-ours", ssh_from=OWN))  # again, which changes nothing
    config = start_machines(account)
    changes = [(name, params) for name, params in requests if not name.startswith(("Describe", "Get", "List"))]
    return SimpleNamespace(said=said, changes=changes, config=config, ec2=boto3.client("ec2", "us-west-2"))


def start_machines(account):
    """As `ray up` does, and the autoscaler after it: the head, then two workers."""
    import ray.autoscaler._private.aws.config as launcher
    from ray.autoscaler._private.commands import _bootstrap_config
    from ray.autoscaler._private.providers import _get_node_provider

    account.setattr(launcher, "time", SimpleNamespace(sleep=lambda seconds: None, time=time.time))
    config = _bootstrap_config(yaml.safe_load(CLUSTER.read_text()), no_config_cache=True)
    provider = _get_node_provider(config["provider"], config["cluster_name"])
    for kind, count in (("head", 1), ("gpu", 2)):
        node = dict(config["available_node_types"][kind]["node_config"])
        tags = {"ray-node-type": "head" if kind == "head" else "worker", "ray-user-node-type": kind}
        names = {"ray-node-name": kind, "ray-launch-config": "x", "ray-node-status": "uninitialized"}
        provider.create_node(node, {**tags, **names}, count)
    return config


@pytest.fixture
def launched(asked):
    """The requests for machines: the head's and the workers'."""
    runs = [params for name, params in asked.changes if name == "RunInstances"]
    assert len(runs) == 2
    return SimpleNamespace(head=runs[0], gpu=runs[1], both=runs)


def test_the_head_is_paid_by_the_hour_and_workers_are_spot(launched):
    assert launched.head["InstanceType"] == "m5.xlarge"
    assert "InstanceMarketOptions" not in launched.head
    assert (launched.gpu["InstanceType"], launched.gpu["MaxCount"]) == ("g5.xlarge", 2)
    options = {"SpotInstanceType": "one-time", "InstanceInterruptionBehavior": "terminate"}
    assert launched.gpu["InstanceMarketOptions"] == {"MarketType": "spot", "SpotOptions": options}


def test_disks_are_encrypted_and_go_with_their_machine(launched):
    for run in launched.both:
        (disk,) = run["BlockDeviceMappings"]
        assert disk["Ebs"]["Encrypted"] is True
        assert disk["Ebs"]["DeleteOnTermination"] is True
        assert disk["Ebs"]["VolumeType"] == "gp3"


def test_a_machine_s_own_credentials_are_had_by_session_tokens_only(launched):
    for run in launched.both:
        assert run["MetadataOptions"]["HttpTokens"] == "required"


def test_each_kind_of_machine_has_its_own_instance_profile(asked, launched):
    assert launched.head["IamInstanceProfile"] == {"Name": "mgc-search-head"}
    assert launched.gpu["IamInstanceProfile"] == {"Name": "mgc-search-worker"}
    assert {params["RoleName"] for name, params in asked.changes if name == "CreateRole"} == {
        "mgc-search-head",
        "mgc-search-worker",
    }
    assert not [name for name, _ in asked.changes if name == "AttachRolePolicy"]  # no policy of AWS's own, all too wide


def statements(asked, role):
    documents = [
        params["PolicyDocument"]
        for name, params in asked.changes
        if name == "PutRolePolicy" and params["RoleName"] == role
    ]
    assert len(set(documents)) == 1
    return json.loads(documents[0])["Statement"]


def test_workers_may_use_one_bucket_and_nothing_else(asked):
    for statement in statements(asked, "mgc-search-worker"):
        assert statement["Resource"] in ("arn:aws:s3:::studies-of-ours", "arn:aws:s3:::studies-of-ours/*")
        assert all(action.startswith("s3:") and "*" not in action for action in statement["Action"])


def test_the_head_may_end_machines_of_its_cluster_only_and_hand_on_the_workers_role_only(asked):
    head = statements(asked, "mgc-search-head")
    (ending,) = [statement for statement in head if "ec2:TerminateInstances" in statement["Action"]]
    assert ending["Condition"] == {"StringEquals": {"ec2:ResourceTag/ray-cluster-name": "mgc-search"}}
    (passing,) = [statement for statement in head if statement["Action"] == "iam:PassRole"]
    assert [role.rpartition("/")[2] for role in passing["Resource"]] == ["mgc-search-worker"]


def test_ssh_from_one_range_is_the_only_way_in(asked):
    reservations = asked.ec2.describe_instances()["Reservations"]
    instances = [instance for reservation in reservations for instance in reservation["Instances"]]
    assert {instance["InstanceType"] for instance in instances} == {"m5.xlarge", "g5.xlarge"}
    groups = {group["GroupId"] for instance in instances for group in instance["SecurityGroups"]}
    (group,) = asked.ec2.describe_security_groups(GroupIds=list(groups))["SecurityGroups"]
    open_to_others = [rule for rule in group["IpPermissions"] if not rule["UserIdGroupPairs"]]
    assert [(rule["FromPort"], rule["ToPort"]) for rule in open_to_others] == [(22, 22)]
    assert [each["CidrIp"] for each in open_to_others[0]["IpRanges"]] == [OWN]
    (inside,) = [rule for rule in group["IpPermissions"] if rule["UserIdGroupPairs"]]
    assert {pair["GroupId"] for pair in inside["UserIdGroupPairs"]} == groups


def test_no_other_security_group_is_made(asked):
    made = [params["GroupName"] for name, params in asked.changes if name == "CreateSecurityGroup"]
    assert made == ["mgc-search-ssh-only"]


def test_the_bucket_is_made_once_and_closed_to_the_public(asked):
    assert [params["Bucket"] for name, params in asked.changes if name == "CreateBucket"] == ["studies-of-ours"]
    closed = [params for name, params in asked.changes if name == "PutPublicAccessBlock"]
    assert all(closed[0]["PublicAccessBlockConfiguration"].values())
    assert asked.said[0] == "bucket s3://studies-of-ours: made, closed to the public"


def test_ray_learns_of_gpus_from_the_instance_type(asked):
    resources = asked.config["available_node_types"]["gpu"]["resources"]
    assert (resources["CPU"], resources["GPU"]) == (4, 1)
    assert asked.config["available_node_types"]["head"]["resources"]["CPU"] == 0


@pytest.mark.parametrize("everybody", ["0.0.0.0/0", "::/0", "10.0.0.0/8"])
def test_ssh_from_everybody_is_refused(account, everybody):
    with pytest.raises(ConfigError, match=rf"^--ssh-from must be a range of your own, at most a /16, got {everybody}$"):
        list(aws.prepare(file.read(CLUSTER), bucket="b", ssh_from=everybody))


def other_cluster(tmp_path):
    """The file of a cluster that nobody has started."""
    path = tmp_path / "cluster.yaml"
    path.write_text(CLUSTER.read_text().replace("cluster_name: mgc-search", "cluster_name: other"))
    return file.read(path)


def test_a_cluster_that_is_not_up_has_no_head(asked, tmp_path):
    with pytest.raises(file.ClusterFileError, match=r"no head is up: Head node of cluster .* not found!$"):
        file.head_of(other_cluster(tmp_path))


@pytest.mark.parametrize(
    "error",
    [NoCredentialsError(), ClientError({"Error": {"Code": "UnauthorizedOperation"}}, "DescribeInstances")],
    ids=lambda error: type(error).__name__,
)
def test_a_cloud_that_refuses_to_answer_is_an_error_in_a_line(asked, tmp_path, monkeypatch, error):
    def refuse(*_):
        raise error

    cluster = other_cluster(tmp_path)
    monkeypatch.setattr("ray.autoscaler.sdk.get_head_node_ip", refuse)
    with pytest.raises(file.ClusterFileError, match=r"no head is up: .*(credentials|UnauthorizedOperation)"):
        file.head_of(cluster)
