"""A cluster's file as Ray reads it, checked beyond Ray's schema: that lets through what EC2 then refuses, or worse.

Ray's schema takes any key under `node_config` and most under `provider`, and a misspelt one is a machine without
encrypted disk or on-demand instead of spot. Knows Ray's launcher and botocore's description of EC2; no network.
"""

from __future__ import annotations

import copy
import io
import json
import re
from collections.abc import Iterator, Mapping
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mgc.config import ConfigError
from mgc.wording import nearest

RESOLVED = Path("~/ray_bootstrap_config.yaml")
"""Where `ray up` leaves a cluster's file on its head, with whatever the cloud was asked about filled in."""
PRICE_LABEL = "usd-per-hour"
"""The label by which a machine says what an hour of it costs."""


class ClusterFileError(ConfigError):
    """A cluster's file that is not there, or that a cloud would refuse or misunderstand."""


@dataclass(frozen=True)
class ClusterFile:
    """A checked cluster's file."""

    path: Path
    config: Mapping[str, Any]

    @property
    def name(self) -> str:
        return str(self.config["cluster_name"])

    @property
    def provider(self) -> str:
        return str(self.config["provider"]["type"])

    @property
    def region(self) -> str:
        return str(self.config["provider"]["region"])


def read(path: Path) -> ClusterFile:
    """The file, checked. Raises ClusterFileError with the first thing that is wrong with it."""
    import yaml

    try:
        config = yaml.safe_load(path.read_text())
    except OSError as error:
        raise ClusterFileError(f"{path}: cannot be read: {error.strerror}") from None
    except yaml.YAMLError as error:
        raise ClusterFileError(f"{path}: {' '.join(str(error).split())}") from None
    if not isinstance(config, dict):
        raise ClusterFileError(f"{path}: a mapping is needed, got {type(config).__name__}")
    for problem in problems(config):
        raise ClusterFileError(f"{path}: {problem}")
    return ClusterFile(path, config)


@dataclass(frozen=True)
class Head:
    """How SSH reaches the head of a cluster that is up."""

    address: str
    user: str
    key: Path


def head_of(file: ClusterFile) -> Head:
    """The head. Raises ClusterFileError where the cluster is not up."""
    auth = file.config["auth"]
    if file.provider == "local":
        return Head(
            str(file.config["provider"]["head_ip"]), auth["ssh_user"], Path(auth["ssh_private_key"]).expanduser()
        )
    from ray.autoscaler._private.commands import _bootstrap_config
    from ray.autoscaler.sdk import get_head_node_ip

    said = io.StringIO()  # what of the cloud it looks at
    try:
        with redirect_stdout(said), redirect_stderr(said):
            address = get_head_node_ip(str(file.path))
            filled = _bootstrap_config(copy.deepcopy(dict(file.config)))
    except Exception as error:  # the cloud's own kinds, and click's
        raise ClusterFileError(f"{file.path}: no head is up: {' '.join(str(error).split())}", "cluster") from None
    return Head(address, auth["ssh_user"], Path(filled["auth"]["ssh_private_key"]).expanduser())


def limits(path: Path) -> dict[str, float]:
    """What the autoscaler of a cluster may start by a resolved file: CPUs, GPUs and kinds of cards, all nodes together.

    Nothing where there is no such file, and for machines whose resources the file does not tell.
    """
    import yaml

    try:
        config = yaml.safe_load(path.read_text())
    except (OSError, yaml.YAMLError):
        return {}
    found: dict[str, float] = {}
    for kind, node_type in config["available_node_types"].items():
        count = min(node_type.get("max_workers", 0), config["max_workers"])
        for name, number in (node_type.get("resources") or {}).items():
            if count and kind != config["head_node_type"]:
                found[name] = found.get(name, 0.0) + count * number
    return found


def problems(config: Mapping[str, Any]) -> Iterator[str]:
    """What is wrong with a cluster's file, a line each."""
    yield from _of_schema(config)
    provider = config.get("provider", {})
    yield from _unknown("provider", provider, _provider_keys())
    if provider.get("type") == "aws":
        if "region" not in provider:
            yield "provider.region is missing"
        for name, node_type in config.get("available_node_types", {}).items():
            yield from _of_ec2(f"available_node_types.{name}.node_config", node_type.get("node_config") or {})
    for name, node_type in config.get("available_node_types", {}).items():
        yield from _of_price(f"available_node_types.{name}.labels", node_type.get("labels", {}))


def _of_schema(config: Mapping[str, Any]) -> Iterator[str]:
    """What Ray's own schema finds, in its first line."""
    from ray.autoscaler._private.util import prepare_config, validate_config

    said = io.StringIO()  # advice about containers, which a check has no use for
    try:
        with redirect_stdout(said), redirect_stderr(said):
            filled = prepare_config(copy.deepcopy(dict(config)))
        for node_type in filled["available_node_types"].values():
            node_type["resources"] = node_type.get("resources") or {"CPU": 1}  # asked of the cloud later
        validate_config(filled)
    except Exception as error:  # jsonschema's, ValueError, KeyError: whatever the missing key makes it run into
        yield str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__


def _provider_keys() -> set[str]:
    import ray.autoscaler

    schema = json.loads((Path(ray.autoscaler.__file__).parent / "ray-schema.json").read_text())
    return set(schema["properties"]["provider"]["properties"])


def _of_ec2(where: str, node_config: Mapping[str, Any]) -> Iterator[str]:
    """What EC2's RunInstances would say of a machine's description."""
    import botocore.session
    from botocore.validate import ParamValidator

    for key in ("InstanceType", "ImageId"):
        if key not in node_config:
            yield f"{where}.{key} is missing"
    shape = botocore.session.get_session().get_service_model("ec2").operation_model("RunInstances").input_shape
    yield from _unknown_to(shape, where, node_config)
    counted = {"MinCount": 1, "MaxCount": 1, **node_config}
    for line in ParamValidator().validate(counted, shape).generate_report().splitlines():
        if not line.startswith("Unknown parameter"):
            yield f"{where}: {line[:1].lower()}{line[1:]}"


def _unknown_to(shape: Any, where: str, given: Any) -> Iterator[str]:
    """The keys at any depth that botocore's description of a request does not have."""
    if shape.type_name == "list" and isinstance(given, list):
        for number, each in enumerate(given):
            yield from _unknown_to(shape.member, f"{where}[{number}]", each)
    if shape.type_name == "structure" and isinstance(given, dict):
        yield from _unknown(where, given, set(shape.members))
        for key in given.keys() & shape.members.keys():
            yield from _unknown_to(shape.members[key], f"{where}.{key}", given[key])


def _of_price(where: str, labels: Mapping[str, str]) -> Iterator[str]:
    price = labels.get(PRICE_LABEL)
    if price is not None and not re.fullmatch(r"\d+(\.\d+)?", price):
        yield f"{where}.{PRICE_LABEL} must be a number in quotes, got {price!r}"


def _unknown(where: str, given: Mapping[str, Any], known: set[str]) -> Iterator[str]:
    for key in given:
        if key not in known:
            yield f"{where}: unknown key {key!r}{nearest(key, known)}"
