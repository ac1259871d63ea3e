"""Hybrid projection: collaborative vectors and item semantics become soft tokens in the language model's word space.

`<User_ID>` and `<Item_ID>` go through the collaborative head (in SeLLa-Rec warm-started by the alignment),
`<Warm_ID>` goes from the item's semantic vector through a linear map of its own (arXiv 2504.10107, stage 3).
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

import torch
from torch import nn

from sellarec_lab import runtime
from sellarec_lab.alignment import Head
from sellarec_lab.training import EmbeddingTable


class Filler(NamedTuple):
    """How a kind of soft token is filled: a row of ``table``, or the mean of several (``pooled``), through ``map``
    ("" for none)."""

    table: str
    map: str = ""
    pooled: bool = False


FILLERS: dict[str, Filler] = {
    "user": Filler("users", "head"),
    "item": Filler("items", "head"),
    "warm": Filler("semantics", "warm"),
    "taste": Filler("semantics", "taste", pooled=True),
    "prompt": Filler("prompt"),  # prompt tuning: learned vectors that know neither user nor item
}
# what `Projector.set_trainable` calls the tables; every map, and a learned prompt, is "projector"
_PARTS = {"users": "tables", "items": "tables", "semantics": "semantics"}


class Projector(nn.Module):
    """Fills soft tokens by the name of their kind: ``projector(kind, id [S], bag [S, H])`` gives vectors [S, width],
    float32 also where the backbone computes in half precision.

    ``parts`` are the tables and maps that ``fillers`` name. Each kind is multiplied by a constant of its own, set once
    by `match_norms`: a projection that enters at another norm than real words have destroys what the tuned model knew.
    """

    def __init__(self, parts: Mapping[str, nn.Module], fillers: Mapping[str, Filler]):
        super().__init__()
        self.fillers = dict(fillers)
        named = [*(filler.table for filler in fillers.values()), *(filler.map for filler in fillers.values())]
        for name, part in parts.items():
            if name in named:
                self.add_module(name, part)
        for kind in fillers:
            self.register_buffer(f"scale_{kind}", torch.ones(()))

    @property
    @torch.no_grad()
    def width(self) -> int:
        """Size of a soft token."""
        kind, one = next(iter(self.fillers)), torch.ones(1, dtype=torch.long, device=self.device)
        return self(kind, one).shape[1]

    @property
    def device(self) -> torch.device:
        return next(self.parameters()).device

    def forward(self, kind: str, ids: torch.Tensor, bag: torch.Tensor | None = None) -> torch.Tensor:
        """A kind of soft token, its user or item ids [S] and, where it averages, item ids [S, H] (0 = none).

        Raises:
            ValueError: a kind that this projector does not fill.
        """
        if kind not in self.fillers:
            raise ValueError(f"this projector can't fill a {kind!r} token; it was built for {', '.join(self.fillers)}")
        filler = self.fillers[kind]
        with torch.autocast(ids.device.type, enabled=False):
            table = getattr(self, filler.table)
            vectors = _mean(table, ids[:, None] if bag is None else bag) if filler.pooled else table(ids)
            if filler.map:
                vectors = getattr(self, filler.map)(vectors)
            return vectors * getattr(self, f"scale_{kind}")

    @torch.no_grad()
    def match_norms(self, words: torch.Tensor, bags: torch.Tensor | None = None) -> None:
        """Scale every kind so that its mean norm is that of the word embeddings [V, width]; where a kind averages, the
        mean is over ``bags`` [B, H]. A learned prompt starts as words, and stays as it is."""
        target, bags = words.norm(dim=1).mean(), None if bags is None else bags.to(self.device)
        for kind, filler in self.fillers.items():
            if filler.map and not (filler.pooled and bags is None):
                ids = torch.arange(1, len(getattr(self, filler.table).weight), device=self.device)
                many = self(kind, bags[:, 0], bags) if filler.pooled else self(kind, ids)
                getattr(self, f"scale_{kind}").mul_(target / many.norm(dim=1).mean().clamp_min(1e-8))

    def set_trainable(self, parts: Iterable[str]) -> None:
        """Choose what trains: "projector" (all maps, a learned prompt), "tables" (users, items), "semantics"."""
        for name, module in self.named_children():
            module.requires_grad_(_PARTS.get(name, "projector") in parts)

    def save(self, path: Path) -> None:
        """One safetensors file: the tensors, and as its note which kind is filled by what."""
        runtime.save_tensors(
            path, self.state_dict(), {"fillers": {k: list(filler) for k, filler in self.fillers.items()}}
        )


def _mean(table: nn.Module, bag: torch.Tensor) -> torch.Tensor:
    """Mean of the rows that a bag of ids [S, H] names; 0 is nobody, whatever row 0 of the table holds."""
    real = (bag > 0).unsqueeze(-1)
    return (table(bag) * real).sum(1) / real.sum(1).clamp_min(1)


def identity(width: int) -> nn.Linear:
    """A map that starts as the vector itself: item semantics live in the language model's space already. (The paper
    starts this map at random.)"""
    linear = nn.Linear(width, width)
    nn.init.eye_(linear.weight)
    nn.init.zeros_(linear.bias)
    return linear


def learned_prompt(words: torch.Tensor, count: int) -> nn.Embedding:
    """Prompt tuning (Lester et al., arXiv 2104.08691): ``count`` learned vectors that start as random words [V, width].
    Row 0 is unused."""
    start = words[torch.randint(len(words), (count + 1,))]
    return nn.Embedding(*start.shape, _weight=start.clone())


def load(path: Path) -> Projector:
    """What `Projector.save` wrote, frozen; also files of the first format, which had one list of scales.

    Raises:
        ValueError: neither; names the file.
    """
    tensors, note = runtime.load_tensors(path)
    if "fillers" not in note:
        tensors, note = _from_first_format(path, tensors)
    names = dict.fromkeys(name.partition(".")[0] for name in tensors if "." in name)
    parts = {name: _part(name, {n.removeprefix(f"{name}."): t for n, t in tensors.items()}) for name in names}
    projector = Projector(parts, {kind: Filler(*filler) for kind, filler in note["fillers"].items()})
    projector.load_state_dict(tensors)
    return projector.requires_grad_(False).eval()


def _part(name: str, tensors: Mapping[str, torch.Tensor]) -> nn.Module:
    """A table or a map with the shapes of saved weights."""
    if "0.weight" in tensors:
        hidden, d_in = tensors["0.weight"].shape
        return Head(d_in, hidden, len(tensors["2.weight"]))
    if "bias" in tensors:
        return nn.Linear(*reversed(tensors["weight"].shape))
    return EmbeddingTable(tensors["weight"]) if name in _PARTS else nn.Embedding(*tensors["weight"].shape)


def _from_first_format(path: Path, old: dict[str, torch.Tensor]) -> tuple[dict[str, torch.Tensor], dict]:
    """Tensors and note of a file that had one scale [5] for user, item, warm, taste and prompt, in this order."""
    scale = old.pop("scale", torch.ones(5))
    kinds = [kind for kind in FILLERS if f"{FILLERS[kind].map or FILLERS[kind].table}.weight" in old]
    kinds = ["user", "item", *kinds] if "head.0.weight" in old else kinds
    if not kinds:
        raise ValueError(
            f"{path}: no projector (it holds {', '.join(sorted(old)[:3])}); save the recommender once more"
        )
    scales = {f"scale_{kind}": scale[list(FILLERS).index(kind)] for kind in kinds}
    return old | scales, {"fillers": {kind: list(FILLERS[kind]) for kind in kinds}}
