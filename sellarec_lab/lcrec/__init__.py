"""LC-Rec (arXiv 2311.09049): items get indices that a language model can write, one mixture of tasks teaches it what
they mean, and the next item is generated over the whole catalogue."""

from sellarec_lab.config import Preset
from sellarec_lab.data import Interactions
from sellarec_lab.lcrec.catalogue import Catalogue
from sellarec_lab.lcrec.model import LCRec, load
from sellarec_lab.lcrec.pipeline import Pipeline, starting_rows
from sellarec_lab.lcrec.tasks import TEMPLATES, Example, Mixture, Speaker

__all__ = [
    "TEMPLATES", "Catalogue", "Example", "LCRec", "Mixture", "Pipeline", "Speaker", "load", "starting_rows", "train",
]  # fmt: skip


def train(cfg: Preset, data: Interactions) -> LCRec:
    """All stages of a preset on a data set for next-item prediction, resumable; see `Pipeline`."""
    return Pipeline(cfg, data).model.value()
