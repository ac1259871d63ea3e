"""Loading a causal language model: by hub id or folder, in NF4, half or full precision, with its reasons."""

import inspect
from dataclasses import dataclass
from pathlib import Path

import psutil
import torch
from torch import nn
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    BitsAndBytesConfig,
    Cache,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)
from transformers.models.auto.tokenization_auto import get_tokenizer_config
from transformers.utils import logging as hf_logging

from sellarec_lab import runtime
from sellarec_lab.config import BackboneConfig
from sellarec_lab.llm import sharding
from sellarec_lab.llm.pretrained import READY, converted, ready_model
from sellarec_lab.runtime import Decision

_HERE = Path(__file__).parent.parent
_CACHE = 8 * 2**20  # bytes that a layer's widest activations may take, so that a processor's cache holds them
_FEWEST = 512  # positions to read at once, however wide a layer is: each time its 4-bit weights are unpacked
_NO_CODE = {"trust_remote_code": False}  # and no question about it: what a folder brings along is never run


def embedded_folder() -> Path:
    """Folder of the mini-LLM that ships with the lab (inside the installed package, or in a source checkout).

    Raises:
        FileNotFoundError: it is in neither place; says how to rebuild it.
    """
    for folder in (_HERE / "tiny" / "mini-llm", _HERE.parent / "data" / "tiny" / "mini-llm"):
        if (folder / "config.json").is_file():
            return folder
    raise FileNotFoundError("the embedded mini-LLM is missing; rebuild it with: python -m sellarec_lab world")


def place(name: str) -> Decision:
    """The folder, or the hub id, that a backbone's name stands for; where it had to be fetched or converted, with where
    it is from. See `pretrained` for what can go wrong."""
    if name == "embedded":
        return Decision(str(embedded_folder()), "")
    if name in READY:
        return ready_model(name)
    if name.endswith(".gguf"):
        return Decision(str(converted(Path(name))), f"converted from {Path(name).name}")
    return Decision(name, "")


def ask_hub(config: BackboneConfig, allowed: bool) -> None:
    """See that a backbone which somebody else has named is not asked for at a hub without consent.

    Raises:
        ValueError: it lies at a hub, and that is not allowed.
    """
    name = config.name
    if allowed or name in ("embedded", *READY) or name.endswith(".gguf") or Path(name).is_dir():
        return
    raise ValueError(
        f"the backbone {name!r} is no folder here; if it is a hub's and you trust it, load with fetch=True; if its "
        "folder was moved, correct backbone.name in the saved settings"
    )


def width(config: BackboneConfig) -> int:
    """The backbone's width, from its settings or its config alone."""
    if config.pretraining is not None:
        return config.pretraining.hidden_size
    hf = AutoConfig.from_pretrained(place(config.name).value, revision=config.revision, **_NO_CODE)
    return hf.get_text_config().hidden_size


@dataclass
class LanguageModel:
    """A backbone with its tokenizer and the decisions that were taken for it.

    ``model`` is a transformers causal LM, or the same wrapped by PEFT. Only `hidden` and `embed` run it, so no
    logits over the vocabulary are computed unless somebody asks for them.
    """

    model: nn.Module
    tokenizer: object
    name: str
    template: str
    decisions: dict[str, Decision]

    @property
    def base(self) -> PreTrainedModel:
        return self.model.get_base_model() if hasattr(self.model, "get_base_model") else self.model

    @property
    def width(self) -> int:
        """Size of a word embedding and of a hidden state."""
        return self.base.config.get_text_config().hidden_size

    @property
    def device(self) -> torch.device:
        return self.base.get_input_embeddings().weight.device

    @property
    def at_once(self) -> int | None:
        """How many positions are best read at once: on a CPU as many as let what a layer makes of them stay in the
        cache; elsewhere there is no such limit."""
        if self.device.type != "cpu":
            return None
        return max(_FEWEST, _CACHE // (4 * self.base.config.get_text_config().intermediate_size))

    @property
    def word_embeddings(self) -> torch.Tensor:
        """[vocabulary, width], float32, detached; rows beyond the tokenizer's vocabulary are left out."""
        return self.base.get_input_embeddings().weight[: len(self.tokenizer)].detach().float()

    def embed(self, ids: torch.Tensor) -> torch.Tensor:
        """Token ids [B, L] to input embeddings [B, L, width]."""
        return self.base.get_input_embeddings()(ids)

    def hidden(
        self, embeddings: torch.Tensor, mask: torch.Tensor, cache: Cache | None = None, **kwargs
    ) -> torch.Tensor:
        """Input embeddings [B, L, width] to last hidden states (after the final norm) [B, L, width]; ``cache`` holds
        the keys and values of what stands before, and those of these positions are added to it.

        Raises:
            ValueError: a prompt is longer than what the model can read.
        """
        places = kwargs.get("position_ids")
        self.check_length(mask.shape[-1] if places is None else 1 + int(places.max()))
        before = {} if cache is None else {self._cache_name: cache, "use_cache": True}
        return self.base.base_model(inputs_embeds=embeddings, attention_mask=mask, **before, **kwargs).last_hidden_state

    def begun(self, embeddings: torch.Tensor, mask: torch.Tensor) -> tuple[torch.Tensor, Cache]:
        """Last hidden states [B, L, width], and the keys and values from which `hidden` goes on."""
        read = self.base.base_model(inputs_embeds=embeddings, attention_mask=mask, use_cache=True)
        return read.last_hidden_state, getattr(read, self._cache_name)

    @property
    def _cache_name(self) -> str:
        """What transformers calls keys and values: another word from 5.24 on."""
        known = inspect.signature(self.base.base_model.forward).parameters
        return "cache" if "cache" in known else "past_key_values"

    def check_length(self, tokens: int) -> None:
        """See that the model has positions for so many tokens.

        Raises:
            ValueError: it has not.
        """
        most = getattr(self.base.config.get_text_config(), "max_position_embeddings", None)
        if most is not None and tokens > most:
            raise ValueError(
                f"a prompt of {tokens} tokens, but {self.name} reads at most {most}; show fewer titles "
                "(prompt__history) or shorter ones"
            )

    def logits(self, hidden: torch.Tensor) -> torch.Tensor:
        """Hidden states [.., width] to float32 logits over the vocabulary [.., V]."""
        return self.base.get_output_embeddings()(hidden).float()

    def answer_logits(self, hidden: torch.Tensor, answers: tuple[int, int]) -> torch.Tensor:
        """Hidden states [B, width] to the float32 logits of two tokens alone [B, 2]."""
        head = self.base.get_output_embeddings()
        rows = head.weight[list(answers)].float()
        bias = head.bias[list(answers)].float() if getattr(head, "bias", None) is not None else 0.0
        return hidden.float() @ rows.T + bias


def estimate_memory(config, quantisation: str, dtype: str) -> float:
    """GiB that the weights will take, from the model's config alone (no weights are read)."""
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config)
    linear = sum(m.weight.numel() for n, m in model.named_modules() if isinstance(m, nn.Linear) and "lm_head" not in n)
    total = sum(p.numel() for p in model.parameters())
    size = 4 if dtype == "float32" else 2
    packed = linear * 0.516 if quantisation == "nf4" else linear * size  # 4 bits and the double-quantised scales
    return ((total - linear) * size + packed) / 2**30


def _available(on: str) -> float:
    return (torch.cuda.mem_get_info()[0] if on == "cuda" else psutil.virtual_memory().available) / 2**30


def load(config: BackboneConfig) -> LanguageModel:
    """Load the backbone that ``config`` names (for "catalogue", pre-trained on the data set's own text: `stored`).

    Raises:
        MemoryError: the weights will not fit; says how much is missing.
        OSError: neither a folder nor a hub id that can be read; for a ready model, nobody to fetch it from.
        ValueError: 4-bit weights are to be spread over processes (FSDP).
    """
    source, origin = place(config.name)
    on = runtime.device().value
    hf = AutoConfig.from_pretrained(source, revision=config.revision, **_NO_CODE)
    shares = sharding.shares(on)
    dtype = runtime.dtype(config.dtype, on, hf.get_text_config().hidden_size)
    quantisation = runtime.quantisation(config.quantisation, on)
    if shares > 1 and quantisation.value == "nf4":
        raise ValueError(f"{config.name}: FSDP can't take 4-bit weights apart; set backbone__quantisation='none'")
    need, free = estimate_memory(hf, quantisation.value, dtype.value) / shares, _available(on)
    if need > free:
        raise MemoryError(f"{config.name}: needs {need:.1f} GiB, {free:.1f} GiB are free; try quantisation='nf4'")
    kwargs = {"quantization_config": _four_bit(dtype.value)} if quantisation.value == "nf4" else {}
    if on == "cuda" and shares == 1:
        kwargs["device_map"] = {"": torch.cuda.current_device()}
    bars = hf_logging.is_progress_bar_enabled()
    if need < 0.1:
        hf_logging.disable_progress_bar()  # a bar for what takes no time is noise
    try:
        model = AutoModelForCausalLM.from_pretrained(
            source, revision=config.revision, dtype=getattr(torch, dtype.value), **_NO_CODE, **kwargs
        )
        tokenizer = load_tokenizer(source, config.revision)
    finally:
        if bars:
            hf_logging.enable_progress_bar()
    if quantisation.value == "nf4":
        _pin_layout(model)
    elif on != "cuda":
        model.to(on)
    model.requires_grad_(False)
    if shares > 1:
        sharding.spread(model, on)
    model.config.use_cache = False
    template = config.template
    if template == "auto":
        template = "chat" if tokenizer.chat_template else "plain"
    weights = {"weights": Decision(Path(source).name, origin)} if origin else {}
    decisions = weights | {
        "device": runtime.device(),
        "dtype": dtype,
        "quantisation": quantisation,
        "memory": Decision(f"{need:.2f} GiB of weights", f"{free:.1f} GiB are free"),
    }
    return LanguageModel(model.eval(), tokenizer, config.name, template, decisions)


def load_tokenizer(source: str, revision: str | None = None) -> PreTrainedTokenizerFast:
    """The tokenizer as it was saved.

    Where a folder declares no class of its own, transformers takes the architecture's class and, with it, its way to
    cut text: a Qwen2 that has read "1995" as one token would be asked about "1", "9", "9", "5".
    """
    declared = get_tokenizer_config(source, revision=revision).get("tokenizer_class")
    generic = declared in ("TokenizersBackend", "PreTrainedTokenizerFast")
    return (PreTrainedTokenizerFast if generic else AutoTokenizer).from_pretrained(
        source, revision=revision, **_NO_CODE
    )


def _four_bit(dtype: str) -> BitsAndBytesConfig:
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=getattr(torch, dtype),
    )


def _pin_layout(model: nn.Module) -> None:
    """Keep bitsandbytes from repacking 4-bit weights in place at the first evaluation on CPUs with AVX512-BF16: the
    repacked form computes in bfloat16, so scores would depend on the CPU and on whether training came first."""
    for module in model.modules():
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = False


def quantised_layers(model: nn.Module) -> int:
    """How many linear layers truly hold 4-bit weights. PEFT's wrapper has the same class name, so look where it is."""
    kinds = (type(module) for module in model.modules())
    return sum(k.__name__ == "Linear4bit" and k.__module__.startswith("bitsandbytes") for k in kinds)


def describe(lm: LanguageModel) -> str:
    """The decisions, one a line."""
    lines = [f"backbone      {lm.name}, {lm.template} prompts, width {lm.width}"]
    lines += [f"{name:<13} {decision}" for name, decision in lm.decisions.items()]
    return "\n".join(lines)
