"""That all tensors of a computation are on one device, told on a machine that has only a CPU."""

from __future__ import annotations

from typing import Any

from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class OneDevice(TorchDispatchMode):
    """No operation inside may take tensors of two devices. The meta device does not see to that alone: a convolution of
    one of its tensors with weights on the CPU just works. Single numbers may come from anywhere, as on a GPU.
    """

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        tensors = [each for each in tree_leaves((args, kwargs)) if isinstance(each, Tensor) and each.dim()]
        assert len({tensor.device for tensor in tensors}) <= 1, f"{func} of {[str(t.device) for t in tensors]}"
        return func(*args, **(kwargs or {}))
