"""The walk of alignment as a map that answers: search a title, click it, draw a lasso, open it in the workbench."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import anywidget
import pandas as pd
import traitlets
from IPython.display import display
from ipywidgets import Output

from sellarec_lab import sella, views
from sellarec_lab.alignment import Snapshots
from sellarec_lab.config import Preset
from sellarec_lab.data import Interactions
from sellarec_lab.views import WalkMap
from sellarec_lab.workbench.bench import Workbench

_HERE = Path(__file__).parent


def on_item(cfg: Preset, data: Interactions, recipe_name: str = "sella") -> Callable[[int], Workbench]:
    """For `Walk`: opens the workbench on an item, before a user of test who was asked about it, or else the first.

    The recommender is trained, or read, when it is asked for.
    """

    def opened(item_id: int) -> Workbench:
        asked = data.test.loc[data.test["item_id"] == item_id, "user_id"]
        bench = Workbench({recipe_name: sella.train(cfg, data, recipe_name)}, data, cfg=cfg)
        bench.pick(int((asked if len(asked) else data.test["user_id"]).iloc[0]), item_id)
        return bench

    return opened


class Walk(anywidget.AnyWidget):
    """A `WalkMap` on screen: play it, find a title, see its trail and its nearest words at each moment.

    ``moment`` [0, S), ``item`` (an id; 0 for none) and ``selected`` (ids in the lasso) can be set by code as well.
    ``open_with(item_id)`` is called by the button "open in the workbench", and what it returns is shown in ``below``.
    """

    _esm = _HERE / "walk.js"
    _css = _HERE / "walk.css"
    scene = traitlets.Dict().tag(sync=True)
    moment = traitlets.Int(0).tag(sync=True)
    item = traitlets.Int(0).tag(sync=True)
    selected = traitlets.List(traitlets.Int()).tag(sync=True)

    def __init__(
        self, drawn: WalkMap, walk: Snapshots, data: Interactions, open_with: Callable[[int], object] | None = None
    ):
        super().__init__(scene=views.walk_scene(drawn, walk, data), moment=len(drawn.steps) - 1)
        self._data, self._open_with, self.below = data, open_with, Output()
        self.on_msg(lambda _, content, buffers: self._hear(content))

    @property
    def table(self) -> pd.DataFrame:
        """The items in the lasso, as the data know them."""
        return self._data.items.loc[self.selected]

    @traitlets.validate("moment")
    def _a_moment(self, proposal: traitlets.Bunch) -> int:
        last = len(self.scene["moments"]) - 1
        if not 0 <= proposal.value <= last:
            raise traitlets.TraitError(f"moment is {proposal.value}, expected 0 to {last}")
        return proposal.value

    def _hear(self, content: dict) -> None:
        """The browser asks to open an item; errors are shown, since a widget swallows them."""
        if "open" not in content:
            return
        self.below.clear_output()
        with self.below:
            if self._open_with is None:
                print("no workbench was given: pass open_with=, a function of an item id")
            else:
                display(self._open_with(int(content["open"])))

    def _repr_mimebundle_(self, **how) -> tuple | dict:
        """The map where there is a kernel; a sentence where there is none: the figure above it is its static form."""
        made = super()._repr_mimebundle_(**how)
        bundle = made[0] if isinstance(made, tuple) else made
        bundle["text/html"] = "<p><i>Run the notebook to search this map and to click on it.</i></p>"
        return made
