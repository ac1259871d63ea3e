"""Writing what exists: beam search over a tree of legal token sequences, and the exact probability of all of them.

Scores are log-probabilities that the model itself gives, normalised over the whole vocabulary, in float32. What is not
in the tree is never looked at; nothing samples, and no generation config is read: an instruct model's own would set a
temperature and cut beams without a word. In a step no Python loop runs over beams, nodes or the vocabulary.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple, Protocol

import numpy as np
import torch
from tqdm.auto import tqdm
from transformers import Cache, GenerationConfig

from sellarec_lab.llm.backbone import LanguageModel
from sellarec_lab.llm.encode import Batch, Encoder
from sellarec_lab.llm.examples import EncodedRows, by_length
from sellarec_lab.llm.score import additive, at
from sellarec_lab.prompts import Prompt

_CELLS = 50_000_000  # most logits held at once: 200 MB


class Tree(Protocol):
    """Token sequences of one length. The children of node ``i`` of level ``l`` are the nodes ``start[l][i]`` to
    ``start[l][i + 1]`` (not included) of level ``l + 1``, and ``token[l]`` are their tokens; level 0 is the root alone,
    and the nodes of level ``depth`` are the leaves."""

    depth: int
    start: Sequence[torch.Tensor]
    token: Sequence[torch.Tensor]

    def children(self, level: int, nodes: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Nodes [N] to tokens, nodes and a mask of their children, [N, W] each."""
        ...


class Beams(NamedTuple):
    """The best leaves of every prompt: ``leaves`` and their log-probabilities ``scores``, [B, k], best first. Where a
    prompt has fewer, the rest are leaf -1 with score -inf."""

    leaves: torch.Tensor
    scores: torch.Tensor


class Step(NamedTuple):
    """The beams after a level of the tree: ``nodes`` of that level, ``scores``, and ``parents``, the beam of the level
    before that each grew from, [B, k]."""

    nodes: torch.Tensor
    scores: torch.Tensor
    parents: torch.Tensor


@torch.no_grad()
def beam_search(
    lm: LanguageModel, encoder: Encoder, prompts: Sequence[Prompt], tree: Tree, beams: int = 20,
    barred: Callable[[np.ndarray], torch.Tensor] | None = None, rows: int | None = None,
) -> Beams:  # fmt: skip
    """The ``beams`` most probable leaves that a search of this width finds for each prompt; never more than there are.

    Args:
        barred: numbers of prompts [B] -> bool [B, leaves], leaves that must not come out (what a user knows already).
        rows: prompts at a time; by default as many as keep some 1,000 beams.

    Raises:
        ValueError: no beam is asked for.
    """
    if beams < 1:
        raise ValueError(f"beams must be at least 1, got {beams}")
    leaves = len(tree.token[-1])
    width = min(beams, leaves)
    found = Beams(torch.full((len(prompts), width), -1), torch.full((len(prompts), width), -torch.inf))
    for chosen, batch in _batches(lm, encoder, prompts, rows or max(1, 1024 // width), "beam search"):
        *_, last = grow(lm, batch, tree, width, None if barred is None else barred(chosen).to(lm.device))
        k, alive = last.nodes.shape[1], last.scores > -torch.inf
        found.leaves[chosen, :k] = torch.where(alive, last.nodes, -1).cpu()
        found.scores[chosen, :k] = last.scores.cpu()
    return found


@torch.no_grad()
def grow(lm: LanguageModel, batch: Batch, tree: Tree, beams: int, barred: torch.Tensor | None = None) -> Iterator[Step]:
    """The beams level by level, so that one can watch them; the arguments are those of `beam_search`, for a batch.

    The beams of a prompt are branches of one sequence: they share the keys and values of the prompt, and each attends
    to it and to what it wrote itself.
    """
    hidden, cache = _read(lm, batch)
    count, hidden = len(batch.ids), hidden[:, None]  # [B, 1, width]
    step = Step(
        *(torch.zeros(count, 1, dtype=kind, device=lm.device) for kind in (torch.long, torch.float, torch.long))
    )
    sees = batch.mask[:, None].bool()  # whom each beam sees: its prompt, and what it wrote itself [B, k, all]
    for level in range(tree.depth):
        tokens, nodes, legal = (part.unflatten(0, (count, -1)) for part in tree.children(level, step.nodes.flatten()))
        logits = _log_probabilities(lm, hidden.flatten(0, 1), tokens.flatten(0, 1)).unflatten(0, (count, -1))
        scores = (step.scores[..., None] + logits).masked_fill(~legal, -torch.inf)  # [B, k, W]
        if barred is not None and level == tree.depth - 1:
            scores = scores.masked_fill(barred.gather(1, nodes.flatten(1)).view_as(scores), -torch.inf)
        best = scores.flatten(1).topk(min(beams, scores[0].numel(), len(tree.token[level])))
        parents = best.indices // tokens.shape[2]
        step = Step(nodes.flatten(1).gather(1, best.indices), best.values, parents)
        yield step
        if level < tree.depth - 1:
            ids, k = tokens.flatten(1).gather(1, best.indices), parents.shape[1]  # [B, k]
            inherited = sees.gather(1, parents[..., None].expand(-1, -1, sees.shape[2]))
            sees = torch.cat([inherited, torch.eye(k, dtype=torch.bool, device=lm.device).expand(count, k, k)], dim=2)
            place = (batch.last + 1 + level)[:, None].expand(count, k)
            hidden = lm.hidden(lm.embed(ids), additive(lm, sees), cache, position_ids=place)


@torch.no_grad()
def tree_scores(
    lm: LanguageModel, encoder: Encoder, prompts: Sequence[Prompt], tree: Tree, rows: int | None = None
) -> torch.Tensor:
    """Log-probability of every leaf after every prompt, float32 [B, leaves].

    All inner nodes of the tree run at once behind the prompt: each attends to the prompt and to its own ancestors, at
    the position that its depth gives it. ``rows``: prompts at a time; by default as many as the mask has room for.
    """
    out = torch.empty(len(prompts), len(tree.token[-1]))
    inner = _Inner.of(tree, lm.device)
    rows = rows or max(1, min(16, _CELLS // (1 + len(inner.token)) ** 2))
    for chosen, batch in _batches(lm, encoder, prompts, rows, "scoring the catalogue"):
        first, cache = _read(lm, batch)
        hidden = first[:, None]  # [B, 1, width]: the root's
        if len(inner.token):
            at = inner.depth[None] + batch.last[:, None]  # [B, n], positions
            sees = torch.cat([batch.mask[:, None].expand(-1, len(inner.token), -1).bool(),
                              inner.sees[None].expand(len(batch.ids), -1, -1)], dim=2)  # fmt: skip
            ids = inner.token[None].expand(len(batch.ids), -1)
            deeper = lm.hidden(lm.embed(ids), additive(lm, sees), cache, position_ids=at)
            hidden = torch.cat([hidden, deeper], dim=1)
        out[chosen] = _leaf_scores(lm, hidden, tree).cpu()
    return out


class _Inner(NamedTuple):
    """The inner nodes of a tree but for the root, level by level: tokens [n], depths [n] (1 below the root), and whom
    each sees, bool [n, n]: itself and its ancestors."""

    token: torch.Tensor
    depth: torch.Tensor
    sees: torch.Tensor

    @classmethod
    def of(cls, tree: Tree, device: torch.device) -> "_Inner":
        levels = [tokens.to(device) for tokens in tree.token[:-1]]
        token = torch.cat([*levels, torch.zeros(0, dtype=torch.long, device=device)])
        sizes = [len(level) for level in levels]
        depth = torch.repeat_interleave(torch.arange(1, len(sizes) + 1), torch.tensor(sizes, dtype=torch.long))
        sees, offset = torch.eye(len(token), dtype=torch.bool, device=device), 0
        for level in range(1, len(levels)):
            parents = offset + _parents(tree, level).to(device)
            offset += sizes[level - 1]
            sees[offset : offset + sizes[level]] |= sees[parents]
        return cls(token, depth.to(device), sees)


@torch.no_grad()
def write(
    lm: LanguageModel, encoder: Encoder, prompts: Sequence[Prompt], longest: int = 32, rows: int = 64
) -> list[str]:
    """What the model writes after each prompt when nothing constrains it: always the most probable token, until its end
    token or ``longest`` tokens."""
    rules = GenerationConfig(
        max_new_tokens=longest, do_sample=False, num_beams=1, temperature=None, top_p=None, top_k=None,
        pad_token_id=encoder.pad, eos_token_id=lm.tokenizer.eos_token_id, use_cache=True,
    )  # fmt: skip
    out = [""] * len(prompts)
    for chosen, batch in _batches(lm, encoder, prompts, rows, "writing"):
        shift = (batch.ids.shape[1] - batch.mask.sum(1))[:, None]  # generate continues at the right edge
        place = (torch.arange(batch.ids.shape[1], device=lm.device)[None] - shift) % batch.ids.shape[1]
        ids, mask = batch.ids.gather(1, place), batch.mask.gather(1, place)
        written = lm.model.generate(input_ids=ids, attention_mask=mask, generation_config=rules)[:, ids.shape[1] :]
        for row, text in zip(chosen, lm.tokenizer.batch_decode(written, skip_special_tokens=True)):
            out[row] = text
    return out


def _parents(tree: Tree, level: int) -> torch.Tensor:
    """The node of a level that each node of the next one hangs on."""
    start = tree.start[level]
    return torch.repeat_interleave(torch.arange(len(start) - 1, device=start.device), start.diff())


def _leaf_scores(lm: LanguageModel, hidden: torch.Tensor, tree: Tree) -> torch.Tensor:
    """Hidden states of all inner nodes, root first [B, n, width], to log-probabilities of the leaves [B, leaves]."""
    scores, offset = torch.zeros(len(hidden), 1, device=hidden.device), 0
    for level in range(tree.depth):
        parents, many = _parents(tree, level).to(hidden.device), len(tree.start[level]) - 1
        tokens, nodes, legal = (part.to(hidden.device) for part in tree.children(level, torch.arange(many)))
        states = hidden[:, offset : offset + many].flatten(0, 1)
        told = _log_probabilities(lm, states, tokens.repeat(len(hidden), 1)).unflatten(0, (len(hidden), many))
        grown = torch.empty(len(hidden), len(parents), device=hidden.device)
        grown[:, nodes[legal]] = told[:, legal]
        scores, offset = scores[:, parents] + grown, offset + many
    return scores


def _log_probabilities(lm: LanguageModel, hidden: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
    """Hidden states [N, width] to the log-probabilities of some tokens each [N, W], over the whole vocabulary."""
    step, parts = max(1, _CELLS // lm.base.config.get_text_config().vocab_size), []
    for some, asked in zip(hidden.split(step), tokens.split(step)):
        logits = lm.logits(some)
        parts.append(logits.gather(1, asked) - logits.logsumexp(1, keepdim=True))
    return torch.cat(parts)


def _read(lm: LanguageModel, batch: Batch) -> tuple[torch.Tensor, Cache]:
    """Hidden state at the end of each prompt [B, width], and the cache of all positions."""
    lm.check_length(batch.ids.shape[1])
    hidden, cache = lm.begun(lm.embed(batch.ids), batch.mask)
    return at(hidden, batch), cache


def _batches(
    lm: LanguageModel, encoder: Encoder, prompts: Sequence[Prompt], rows: int, what: str
) -> Iterator[tuple[np.ndarray, Batch]]:
    """Numbers of prompts and their batch, longest first, on the model's device."""
    lm.model.eval()
    encoded = EncodedRows(encoder, prompts)
    for chosen in tqdm(by_length(encoded.lengths(), rows), desc=what, unit="batch", leave=False, delay=2):
        yield chosen, encoder.collate(encoded[chosen]).to(lm.device)
