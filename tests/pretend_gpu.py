"""A second device where there is none: everything runs on the CPU, and tensors remember which device they would be on.

Whoever moves a tensor to "cuda" or makes one there gets a marked one; what marked tensors give is marked; an operation
that would meet both kinds raises as CUDA does, and so does reading a marked one through numpy. What is left out: what
autograd does inside, and everything that a kernel of CUDA may do otherwise than one of the CPU.
"""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves, tree_map
from transformers import AutoModelForCausalLM

from sellarec_lab import runtime

CUDA, CPU = torch.device("cuda", 0), torch.device("cpu")
_T = torch.Tensor
_INDEXING = {_T.__getitem__, _T.__setitem__, _T.index_put, _T.index_put_, torch.index_put}  # take indices of the CPU
_ACROSS = {_T.copy_, _T.to, torch._has_compatible_shallow_copy_type}  # carry values from one device to the other
_READ = {_T.numpy: "numpy()", _T.__array__: "numpy"}


_MOVES = (_T.to, _T.cpu, _T.cuda)


def marked(value: object) -> bool:
    return isinstance(value, torch.Tensor) and getattr(value, "_on_gpu", False)


def mark(value: object) -> object:
    if isinstance(value, torch.Tensor):
        value._on_gpu = True
    return value


def _as(one: object, other: object) -> object:
    """``other``, marked if the first is."""
    return mark(other) if marked(one) else other


def _is_gpu(value: object) -> bool:
    if isinstance(value, torch.device):
        return value.type == "cuda"
    return isinstance(value, str) and value.partition(":")[0] == "cuda"


def _here(func, args, kwargs, moved: bool):
    """What ``func`` gives on the CPU; a copy of its own where a tensor changes devices, as between real ones."""
    given = args[0] if args else None
    if moved and func is not _T.to:
        return given.clone()
    args, kwargs = tree_map(lambda leaf: CPU if _is_gpu(leaf) else leaf, (args, kwargs))
    out = func(*args, **kwargs)
    return out.clone() if moved and out is given else out


def _plain(func, args, kwargs):
    return func(*args, **kwargs)


_TOLD = {  # what is asked of a tensor or a device, where nothing is computed
    torch.device: _plain,
    torch._C._nn._parse_to: _plain,
    _T.device.__get__: lambda func, args, kwargs: CUDA if marked(args[0]) else func(*args),
    _T.is_cuda.__get__: lambda func, args, kwargs: marked(args[0]),
    _T.grad.__get__: lambda func, args, kwargs: _as(args[0], func(*args)),
}


class PretendGPU(TorchFunctionMode):
    def __enter__(self):
        self._new, self._copy = torch.nn.Parameter.__new__, torch.nn.Parameter.__deepcopy__
        new, copy = self._new, self._copy  # no functions of torch: they pass a mode by
        torch.nn.Parameter.__new__ = staticmethod(lambda cls, data=None, *a, **k: _as(data, new(cls, data, *a, **k)))
        torch.nn.Parameter.__deepcopy__ = lambda parameter, memo: _as(parameter, copy(parameter, memo))
        return super().__enter__()

    def __exit__(self, *error):
        torch.nn.Parameter.__new__, torch.nn.Parameter.__deepcopy__ = staticmethod(self._new), self._copy
        return super().__exit__(*error)

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = dict(kwargs or {})
        if func in _TOLD:
            return _TOLD[func](func, args, kwargs)
        leaves = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, torch.Tensor)]
        self._check(func, args, leaves)
        there = self._where(func, args, kwargs, leaves)
        out = _here(func, args, kwargs, moved=func in _MOVES and marked(args[0]) != there)
        if func == _T.data.__set__:
            args[0]._on_gpu = marked(args[1])
        return tree_map(mark, out) if there and func not in _READ else out

    def _check(self, func, args, leaves) -> None:
        if func in _READ and marked(args[0]):
            raise TypeError(f"can't convert a tensor on {CUDA} to numpy: {_READ[func]}; use .cpu() first")
        kinds = {marked(leaf) for leaf in leaves if leaf.dim() or marked(leaf)}  # a number of the CPU may join
        name = getattr(func, "__name__", str(func))
        here = bool(args) and isinstance(args[0], torch.Tensor) and not marked(args[0])
        in_place = here and name.endswith("_") and not name.endswith("__")
        if func in _ACROSS or func == _T.data.__set__ or not (len(kinds) > 1 or (in_place and True in kinds)):
            return
        given = [value for value in args[2:] if isinstance(value, torch.Tensor) and value.dim()]
        if func in _INDEXING and marked(args[0]) and all(map(marked, given)):
            return
        raise RuntimeError(f"{name}: expected all tensors to be on the same device")

    def _where(self, func, args, kwargs, leaves) -> bool:
        """Whether the result is on the GPU."""
        if func is _T.cpu:
            return False
        if func is _T.cuda:
            return True
        asked = [v for v in (*args[1:], *kwargs.values()) if isinstance(v, torch.device) or _is_gpu(v)]
        asked += [v for v in (*args[1:], kwargs.get("device")) if isinstance(v, str) and v == "cpu"]
        if asked and (func is _T.to or "device" in kwargs):
            return _is_gpu(asked[0])
        if func is _T.to and len(args) > 1 and isinstance(args[1], torch.Tensor):
            return marked(args[1])
        if func in _INDEXING:
            return marked(args[0])
        return any(marked(leaf) for leaf in leaves)


_REAL = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")]
_PRETENDED = {"backbone__quantisation": "none", "backbone__dtype": "float32"}  # NF4 has kernels of its own


@pytest.fixture(params=["pretended", pytest.param("real", marks=_REAL)])
def gpu(request):
    """Everything within the test finds a CUDA device, a pretended or the machine's; settings that fit it, with a folder
    of artifacts for each."""
    if request.param == "pretended":
        request.getfixturevalue("pretend_gpu")
    return {"name": request.param, **(_PRETENDED if request.param == "pretended" else {})}


@pytest.fixture
def pretend_gpu(monkeypatch):
    """Everything within the test finds a CUDA device, and moves to it in thought."""
    from_pretrained = AutoModelForCausalLM.from_pretrained

    def there(*args, **kwargs):
        model = from_pretrained(*args, **{k: v for k, v in kwargs.items() if k != "device_map"})
        for tensor in (*model.parameters(), *model.buffers()):
            mark(tensor)
        return model

    monkeypatch.setattr(AutoModelForCausalLM, "from_pretrained", there)
    monkeypatch.setattr(runtime, "device", lambda: runtime.Decision("cuda", "a pretended one"))
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda: (2**34, 2**34))
    group = SimpleNamespace(device=CUDA, num_processes=1, process_index=0)
    monkeypatch.setattr("sellarec_lab.training.split.PartialState", lambda cpu: group)
    with PretendGPU():
        yield
