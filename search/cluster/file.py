"""A cluster's file as Ray reads it, checked more strictly than Ray does.

Ray's schema accepts any key under `node_config` and `provider`. So a misspelt key may start a machine whose disk is not
encrypted, or one on demand instead of spot. Knows Ray's launcher and botocore's model of EC2; a check needs no network.
"""

from __future__ import annotations

import copy
import io
import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mgc.files.paths import expanded
from mgc.files.reading import open_regular
from mgc.words.errors import ConfigError, nearest
from search.machines.autoscaler import PRICE_LABEL

MAX_BYTES = 100_000
MOST_VALUES = 10_000

LOGIN = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:@\\-]*")
"""A user, or a machine, as ssh is told of them."""


class ClusterFileError(ConfigError):
    """A cluster's file that cannot be read or that a cloud would refuse, or a cluster that is not up."""


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
    """The file, checked. Raises ClusterFileError with its first problem."""
    config = _parsed(path)
    if not isinstance(config, dict):
        raise ClusterFileError(f"{path}: a mapping is needed, got {type(config).__name__}")
    for problem in problems(config):
        raise ClusterFileError(f"{path}: {problem}")
    return ClusterFile(path, config)


def _parsed(path: Path) -> Any:
    """What the file holds. Raises ClusterFileError for one that is no YAML, or larger than any cluster's."""
    import yaml

    try:
        with open_regular(path) as file:
            content = file.read(MAX_BYTES + 1)
        if len(content) > MAX_BYTES:
            raise ClusterFileError(f"{path}: a cluster's file must be <= {MAX_BYTES} bytes")
        text = content.decode("utf-8-sig")
        _check_nodes(path, yaml.compose(text, Loader=yaml.SafeLoader))
        return yaml.safe_load(text)
    except ClusterFileError:
        raise
    except OSError as error:
        raise ClusterFileError(f"{path}: cannot be read: {error.strerror}") from None
    except RecursionError:
        raise ClusterFileError(f"{path}: is nested too deeply") from None
    except (yaml.YAMLError, ValueError) as error:  # ValueError: no UTF-8, a date of no calendar
        raise ClusterFileError(f"{path}: {' '.join(str(error).split())}") from None


def _check_nodes(path: Path, root: Any) -> None:
    """Raise ClusterFileError for a key that stands twice in a mapping, of which YAML's reader takes the last one, and
    for a file that aliases make larger than any cluster's: whoever copies it would never end.
    """
    todo, count = [root], 0
    while todo:
        node, count = todo.pop(), count + 1
        if count > MOST_VALUES:
            raise ClusterFileError(f"{path}: has more than {MOST_VALUES} values, counting those behind aliases")
        pairs = node.value if getattr(node, "id", "") == "mapping" else []
        keys: set[str] = set()
        for key, _ in pairs:
            if key.id == "scalar" and key.value in keys and key.value != "<<":
                raise ClusterFileError(f"{path}:{key.start_mark.line + 1}: duplicate key {key.value!r}")
            keys.add(str(key.value))
        todo += [value for _, value in pairs] or (node.value if getattr(node, "id", "") == "sequence" else [])


@dataclass(frozen=True)
class Head:
    """The head of a cluster that is up, and how SSH logs in there."""

    address: str
    user: str
    key: Path


def head_of(file: ClusterFile) -> Head:
    """The head. Raises ClusterFileError where the cluster is not up."""
    auth = file.config["auth"]
    if file.provider == "local":
        return Head(str(file.config["provider"]["head_ip"]), auth["ssh_user"], expanded(auth["ssh_private_key"]))
    from botocore.exceptions import BotoCoreError, ClientError
    from click import ClickException
    from ray.autoscaler._private.commands import _bootstrap_config
    from ray.autoscaler.sdk import get_head_node_ip

    try:
        with _quiet():
            address = get_head_node_ip(str(file.path))
            completed = _bootstrap_config(copy.deepcopy(dict(file.config)))
    # AWS's errors; those of Ray where the head is not up (RuntimeError), or where AWS lacks what the file names
    except (BotoCoreError, ClientError, ClickException, RuntimeError, ValueError, AssertionError) as error:
        text = " ".join(str(error).split()) or type(error).__name__
        raise ClusterFileError(f"{file.path}: no head is up: {text}", "cluster") from None
    return Head(address, auth["ssh_user"], expanded(completed["auth"]["ssh_private_key"]))


@contextmanager
def _quiet() -> Iterator[None]:
    """Without what Ray's launcher prints of its progress."""
    with redirect_stdout(io.StringIO()) as output, redirect_stderr(output):
        yield


def problems(config: Mapping[str, Any]) -> Iterator[str]:
    """The problems of a cluster's file, a line each, which begins with the place."""
    schema_problems = list(_schema_problems(config))
    yield from schema_problems
    if schema_problems:
        return
    yield from _login_problems(config)
    yield from _mount_problems(config.get("file_mounts") or {})
    provider, node_types = config["provider"], config.get("available_node_types", {})
    yield from _unknown_keys("provider", provider, set(_schema()["properties"]["provider"]["properties"]))
    if provider["type"] == "aws":
        if "region" not in provider:
            yield "provider.region is missing"
        for name, node_type in node_types.items():
            yield from _machine_problems(f"available_node_types.{name}.node_config", node_type["node_config"])
    for name, node_type in node_types.items():
        yield from _price_problems(f"available_node_types.{name}.labels", node_type.get("labels", {}))


def _login_problems(config: Mapping[str, Any]) -> Iterator[str]:
    """Names of a user or of a machine that ssh would take for one of its options, or a shell for a command."""
    provider = config["provider"]
    names = [("auth.ssh_user", config["auth"].get("ssh_user")), ("provider.head_ip", provider.get("head_ip"))]
    names += [(f"provider.worker_ips[{number}]", ip) for number, ip in enumerate(provider.get("worker_ips") or [])]
    for place, name in names:
        if name is not None and not LOGIN.fullmatch(str(name)):
            yield f"{place} must be a name or an address, got {name!r}"


def _mount_problems(mounts: Mapping[str, str]) -> Iterator[str]:
    """A clone's `search` without its `spaces`: Ray on the head fails on a link to nowhere, and starts no worker."""
    for remote, local in mounts.items():
        spaces = re.sub("search/?$", "spaces", remote)
        if Path(local).name == "search" and (Path(local) / "spaces").is_symlink() and spaces not in mounts:
            yield f"file_mounts must have {spaces} too, since {local}/spaces is a link to it"


def _schema_problems(config: Mapping[str, Any]) -> Iterator[str]:
    """The first thing that Ray's launcher refuses."""
    from click import ClickException
    from jsonschema import ValidationError
    from ray.autoscaler._private.util import prepare_config, validate_config

    try:
        with _quiet():
            completed = prepare_config(copy.deepcopy(dict(config)))
        for node_type in completed["available_node_types"].values():
            node_type["resources"] = node_type.get("resources") or {"CPU": 1}  # Ray asks the cloud for them later
        validate_config(completed)
    except ValidationError as error:
        yield _place_and_text(error)
    except (ClickException, RuntimeError, ValueError) as error:
        yield str(error).strip().splitlines()[0]
    except (AttributeError, LookupError, TypeError) as error:  # Ray completes a file before it looks at the types in it
        yield _wrong_type(config) or str(error)


def _wrong_type(config: Mapping[str, Any]) -> str | None:
    """What the schema says of a file that Ray could not complete."""
    from jsonschema import Draft7Validator
    from jsonschema.exceptions import best_match

    error = best_match(Draft7Validator(_schema()).iter_errors(config))
    return None if error is None else _place_and_text(error)


def _place_and_text(error: Any) -> str:
    place = error.json_path.removeprefix("$").removeprefix(".")
    return f"{place}: {error.message}" if place else str(error.message)


def _schema() -> Any:
    """The JSON Schema of Ray's own for cluster files."""
    import ray.autoscaler

    return json.loads((Path(ray.autoscaler.__file__).parent / "ray-schema.json").read_text())


def _machine_problems(where: str, node_config: Mapping[str, Any]) -> Iterator[str]:
    """What EC2's RunInstances would refuse in a machine's description, by botocore's model of the request."""
    import botocore.session
    from botocore.validate import ParamValidator

    for key in ("InstanceType", "ImageId"):
        if key not in node_config:
            yield f"{where}.{key} is missing"
    shape = botocore.session.get_session().get_service_model("ec2").operation_model("RunInstances").input_shape
    yield from _unknown_keys_within(shape, where, node_config)
    request = {"MinCount": 1, "MaxCount": 1, **node_config}
    for line in ParamValidator().validate(request, shape).generate_report().splitlines():
        if not line.startswith("Unknown parameter"):
            yield f"{where}: {line[:1].lower()}{line[1:]}"


def _unknown_keys_within(shape: Any, where: str, value: Any) -> Iterator[str]:
    """The keys at any depth of a value that botocore's model of it, `shape`, does not have."""
    if shape.type_name == "list" and isinstance(value, list):
        for number, element in enumerate(value):
            yield from _unknown_keys_within(shape.member, f"{where}[{number}]", element)
    if shape.type_name == "structure" and isinstance(value, dict):
        yield from _unknown_keys(where, value, set(shape.members))
        for key in value.keys() & shape.members.keys():
            yield from _unknown_keys_within(shape.members[key], f"{where}.{key}", value[key])


def _unknown_keys(where: str, mapping: Mapping[str, Any], allowed: set[str]) -> Iterator[str]:
    for key in mapping:
        if key not in allowed:
            yield f"{where}: unknown key {key!r}{nearest(key, allowed)}"


def _price_problems(where: str, labels: Mapping[str, str]) -> Iterator[str]:
    price = labels.get(PRICE_LABEL)
    if price is not None and not re.fullmatch(r"\d+(\.\d+)?", price):
        yield f"{where}.{PRICE_LABEL} must be a number in quotes, got {price!r}"
