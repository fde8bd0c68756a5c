"""What an AWS account needs once, before `ray up cluster.yaml`: a bucket, a security group, two instance profiles.

Without them Ray makes its own: SSH open to everybody, full rights over EC2 and S3 for the head, none for the workers.
Ours have the least rights that a study needs. A second call sets all of them to the same again. Knows boto3 and the
cluster's file.
"""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any

from mgc.words.errors import ConfigError
from search.cluster.file import ClusterFile

ASSUMED_BY_EC2 = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}],
}


def prepare(file: ClusterFile, *, bucket: str, ssh_from: str) -> Iterator[str]:
    """Make what the cluster's file names; yields a line for each. `ssh_from` is a range such as 198.51.100.7/32.

    Raises ConfigError for a range that is too wide, for a file of another provider, and for a missing name.
    """
    import boto3

    if file.provider != "aws":
        raise ConfigError(f"{file.path}: provider.type must be aws, got {file.provider!r}")
    own = own_range(ssh_from)
    profiles = _profiles(file)

    def client(service: str) -> Any:
        return boto3.client(service, region_name=file.region)

    yield _bucket(client("s3"), bucket, file.region)
    yield _group(client("ec2"), _group_name(file), own)
    iam = client("iam")
    account = client("sts").get_caller_identity()["Account"]
    worker_roles = [f"arn:aws:iam::{account}:role/{name}" for kind, name in profiles.items() if kind != "head"]
    for kind, name in profiles.items():
        statements = bucket_rights(bucket)
        if kind == "head":
            statements += autoscaler_rights(file.name, worker_roles)
        yield _profile(iam, name, statements)


def own_range(text: str) -> str:
    """The range of addresses from which SSH may come. Raises ConfigError for no range, and for one wider than a /16."""
    try:
        network = ipaddress.ip_network(text)
    except ValueError as error:
        raise ConfigError(f"--ssh-from: {error}") from None
    if network.num_addresses > 2**16:
        raise ConfigError(f"--ssh-from must be a range of your own, at most a /16, got {text}")
    return str(network)


def bucket_rights(bucket: str) -> list[dict[str, Any]]:
    """Rights to read data and to keep checkpoints, records and artifacts in one bucket."""
    arn = f"arn:aws:s3:::{bucket}"
    objects = ["s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload"]
    return [
        {"Effect": "Allow", "Action": ["s3:ListBucket", "s3:GetBucketLocation"], "Resource": arn},
        {"Effect": "Allow", "Action": objects, "Resource": f"{arn}/*"},
    ]


def autoscaler_rights(cluster: str, worker_roles: list[str]) -> list[dict[str, Any]]:
    """Rights to start workers with their own role, and to end or mark machines of this cluster alone."""
    our_cluster = {"StringEquals": {"ec2:ResourceTag/ray-cluster-name": cluster}}
    launching = {"StringEquals": {"ec2:CreateAction": "RunInstances"}}
    return [
        {"Effect": "Allow", "Action": ["ec2:Describe*", "ec2:RunInstances"], "Resource": "*"},
        {
            "Effect": "Allow",
            "Action": ["ec2:TerminateInstances", "ec2:CreateTags"],
            "Resource": "*",
            "Condition": our_cluster,
        },
        {"Effect": "Allow", "Action": "ec2:CreateTags", "Resource": "*", "Condition": launching},
        {"Effect": "Allow", "Action": "iam:PassRole", "Resource": worker_roles},
    ]


def _profiles(file: ClusterFile) -> dict[str, str]:
    """The instance profiles that the file names: the head's as `head`, the others by node type."""
    profiles = {}
    for kind, node_type in file.config["available_node_types"].items():
        try:
            name = node_type["node_config"]["IamInstanceProfile"]["Name"]
        except KeyError:
            raise ConfigError(f"{file.path}: {kind}.node_config.IamInstanceProfile.Name is missing") from None
        profiles["head" if kind == file.config["head_node_type"] else kind] = name
    return profiles


def _group_name(file: ClusterFile) -> str:
    try:
        return str(file.config["provider"]["security_group"]["GroupName"])
    except KeyError:
        raise ConfigError(f"{file.path}: provider.security_group.GroupName is missing") from None


def _bucket(s3: Any, name: str, region: str) -> str:
    """A bucket that only this account can read. A bucket that exists keeps its content."""
    place = {} if region == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": region}}
    is_new = name not in {bucket["Name"] for bucket in s3.list_buckets()["Buckets"]}
    if is_new:
        s3.create_bucket(Bucket=name, **place)
    block = dict.fromkeys(("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets"), True)
    s3.put_public_access_block(Bucket=name, PublicAccessBlockConfiguration=block)
    return f"bucket s3://{name}: {'made' if is_new else 'there'}, closed to the public"


def _group(ec2: Any, name: str, own: str) -> str:
    """A security group of the default VPC: SSH from one range, everything among its own machines, nothing else."""
    vpcs = ec2.describe_vpcs(Filters=[{"Name": "is-default", "Values": ["true"]}])["Vpcs"]
    if not vpcs:
        raise ConfigError("the region has no default VPC: make one (aws ec2 create-default-vpc)")
    filters = [{"Name": "group-name", "Values": [name]}, {"Name": "vpc-id", "Values": [vpcs[0]["VpcId"]]}]
    groups = ec2.describe_security_groups(Filters=filters)["SecurityGroups"]
    group = groups[0] if groups else _new_group(ec2, name, vpcs[0]["VpcId"])
    ssh = {"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, _field(own): [{_cidr(own): own}]}
    inside = {"IpProtocol": "-1", "UserIdGroupPairs": [{"GroupId": group["GroupId"]}]}
    if group["IpPermissions"]:
        ec2.revoke_security_group_ingress(GroupId=group["GroupId"], IpPermissions=group["IpPermissions"])
    ec2.authorize_security_group_ingress(GroupId=group["GroupId"], IpPermissions=[ssh, inside])
    return f"security group {name}: SSH from {own}"


def _new_group(ec2: Any, name: str, vpc: str) -> Mapping[str, Any]:
    answer = ec2.create_security_group(GroupName=name, Description="mgc-search: SSH from one range", VpcId=vpc)
    return {"GroupId": answer["GroupId"], "IpPermissions": []}


def _field(network: str) -> str:
    return "Ipv6Ranges" if ":" in network else "IpRanges"


def _cidr(network: str) -> str:
    return "CidrIpv6" if ":" in network else "CidrIp"


def _profile(iam: Any, name: str, statements: list[dict[str, Any]]) -> str:
    """An instance profile and its role, both of this name. The role has exactly the rights in `statements`."""
    with suppress(iam.exceptions.EntityAlreadyExistsException):  # its rights are set below
        iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(ASSUMED_BY_EC2))
    policy = {"Version": "2012-10-17", "Statement": statements}
    iam.put_role_policy(RoleName=name, PolicyName="mgc-search", PolicyDocument=json.dumps(policy))
    with suppress(iam.exceptions.EntityAlreadyExistsException):
        iam.create_instance_profile(InstanceProfileName=name)
    profile = iam.get_instance_profile(InstanceProfileName=name)["InstanceProfile"]
    if not profile["Roles"]:
        iam.add_role_to_instance_profile(InstanceProfileName=name, RoleName=name)
    return f"instance profile {name}: {', '.join(sorted(_actions(statements)))}"


def _actions(statements: list[dict[str, Any]]) -> set[str]:
    return {
        action
        for statement in statements
        for action in ([statement["Action"]] if isinstance(statement["Action"], str) else statement["Action"])
    }
