"""A backbone that is spread over the processes of a run (FSDP), where the launcher asks for it.

The blocks are frozen, so nothing of them is ever summed; each is put together just before it runs and let go after.
Embeddings, last norm and head stay whole, since the lab reads their weights directly. So does an adapter, which is
attached later: it is small, and training sums its gradients.
"""

from accelerate import PartialState
from accelerate.utils import parse_flag_from_env
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from transformers import PreTrainedModel


def shares(on: str) -> int:
    """Over how many processes the blocks of a backbone are spread; 1 without FSDP. Makes this process's GPU the
    current one."""
    state = PartialState(cpu=on == "cpu")
    return state.num_processes if parse_flag_from_env("ACCELERATE_USE_FSDP") else 1


def spread(model: PreTrainedModel, on: str) -> None:
    """Spread the frozen blocks of ``model``, in place; the rest goes whole to the device ``on``. From then on every
    process has to run the model as often as all others."""
    mesh = init_device_mesh(on, (shares(on),))
    for block in [m for m in model.modules() if type(m).__name__ in model._no_split_modules]:
        fully_shard(block, mesh=mesh, reshard_after_forward=True)
    model.to(on)
