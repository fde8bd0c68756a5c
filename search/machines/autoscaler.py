"""What a cluster's autoscaler may start, by the file that `ray up` leaves on the head. Imports nothing of Ray."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

RESOLVED = Path("~/ray_bootstrap_config.yaml")
"""The cluster's file on its head, with what `ray up` asked the cloud for filled in."""
PRICE_LABEL = "usd-per-hour"
"""The label of a node type that says what an hour of one such machine costs."""


def limits() -> Mapping[str, float]:
    """What all machines that the autoscaler may start have together: `CPU`, `GPU` and `accelerator_type:...`.

    Empty where this process is not on such a head. A node type counts only where the file says its resources.
    """
    import yaml

    try:
        config = yaml.safe_load(RESOLVED.expanduser().read_text())
    except (OSError, yaml.YAMLError):
        return {}
    total: dict[str, float] = {}
    for kind, node_type in config["available_node_types"].items():
        count = min(node_type.get("max_workers", 0), config["max_workers"])
        for name, number in (node_type.get("resources") or {}).items():
            if count and kind != config["head_node_type"]:
                total[name] = total.get(name, 0.0) + count * number
    return total
