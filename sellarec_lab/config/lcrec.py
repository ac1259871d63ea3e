"""LC-Rec (arXiv 2311.09049): what is learned, in which mixture, and how."""

from typing import Literal

from sellarec_lab.config.checked import Count, Names, Weight, require, settings
from sellarec_lab.config.loop import LoopConfig
from sellarec_lab.config.settings import LoraConfig, MiniLMConfig

TASKS = ("sequence", "index", "fusion", "search", "preference")  # SEQ, MUT, ASY, ITE, PER in the paper's table


@settings
class LCRecConfig:
    """Alignment tuning, and how items are read and written."""

    tasks: Names = TASKS
    language: bool = True  # False: no language at all, a decoder trained from nothing on indices alone (TIGER-style)
    # of items: the state at the end of the template's `describe`; "mean": over title, description
    vectors: Literal["last", "mean"] = "last"
    history: Count = 20  # most recent items that a prompt shows
    description: Count = 40  # most words of a description that a prompt shows or asks for
    # rows of new tokens start at the mean of the words of the items that share the code; or at random
    start: Literal["words", "random"] = "words"
    beams: Count = 20
    prefix: Weight = 0.0  # weight of the losses that the beginnings of indices have (APAO); 0: the paper's loss alone
    collaborative: Weight = 0.0  # weight of SASRec's item vectors beside the words', for indices (after LETTER)
    decoder: MiniLMConfig = MiniLMConfig()  # sizes of the decoder without language
    lora: LoraConfig = LoraConfig(dropout=0.0)
    loop: LoopConfig = LoopConfig(learning_rate=2e-3, batch_size=64, epochs=10, evaluations=1, patience=3)

    def __post_init__(self):
        unknown = [task for task in self.tasks if task not in TASKS]
        require(not unknown, f"lcrec.tasks: {unknown} unknown; known tasks: {', '.join(TASKS)}")
        require("sequence" in self.tasks, "lcrec.tasks must hold 'sequence': without it no next item is ever asked for")
