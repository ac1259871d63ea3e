"""Beside SeLLa-Rec: factors whose priors the item semantics tell, as a rating model of its own; see `RLFM`."""

from sellarec_lab import collab, config, metrics, runtime
from sellarec_lab.collab import RLFM
from sellarec_lab.config import Preset
from sellarec_lab.data import Interactions
from sellarec_lab.runtime import Stage
from sellarec_lab.sella.pipeline import Pipeline


def factors_stage(cfg: Preset, data: Interactions) -> Stage:
    """The stage whose value is an `RLFM` on what the tuned language model says of the items."""
    below = Pipeline(cfg, data).semantics

    def make(stage: Stage) -> dict:
        model = collab.train_rlfm(cfg.rlfm, data, below.value(), cfg.seed)
        runtime.save_tensors(stage.path("model.safetensors"), model.state_dict())
        return {"valid": metrics.quality(model.predict(data.valid))}

    def read(stage: Stage) -> RLFM:
        return RLFM(data, **runtime.load_tensors(stage.path("model.safetensors"))[0])

    settings, code = {"settings": config.as_dict(cfg.rlfm)}, ("sellarec_lab.collab.rlfm",)
    return runtime.stage(cfg, data, "rlfm", settings, make, read, below, code=code)
