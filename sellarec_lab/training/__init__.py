"""The one training loop, on `accelerate`: schedule, micro-batches, several processes, validation, early stopping,
resumable checkpoints.

What is trained is a module whose ``forward(batch)`` is its loss. A run that was killed goes on from its last
checkpoint and ends with the same weights as a run that was not: batches depend on (seed, epoch) alone, and the
optimiser, the random state and the best weights so far are part of the checkpoint. A step split into micro-batches or
over processes is the step that one process takes with all rows at once, up to rounding and the draws of dropout.
"""

from sellarec_lab.training.history import History, Monitor
from sellarec_lab.training.loop import Validation, fit
from sellarec_lab.training.split import Batches
from sellarec_lab.training.table import EmbeddingTable

__all__ = ["Batches", "EmbeddingTable", "History", "Monitor", "Validation", "fit"]
