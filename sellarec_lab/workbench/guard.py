"""Keys that are typed into a bench stay in it.

JupyterLab listens for its shortcuts on the whole page, and passes over a key whose element, or one around it, has the
attribute ``data-lm-suppress-shortcuts`` (Lumino's command registry). ipywidgets can set no attribute, so a widget of
our own, which shows nothing, sets it on the bench that it lies in. A click beside the controls then has to leave the
keys there as well: the bench takes the focus.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

import anywidget
import ipywidgets as widgets

BENCH = "sellarec-bench"
_SCRIPT = """
function render({ el }) {
  let gone = false;
  const guard = () => {
    const bench = el.closest(".%s");
    if (bench) {
      bench.setAttribute("data-lm-suppress-shortcuts", "true");
      bench.tabIndex = -1;
      bench.style.outline = "none";
    } else if (!gone) {
      requestAnimationFrame(guard);  // a widget is drawn before it is put in its place
    }
  };
  guard();
  return () => { gone = true; };
}
export default { render };
"""


class Guard(anywidget.AnyWidget):
    """Keeps the shortcuts of JupyterLab out of the bench around it."""

    _esm = _SCRIPT % BENCH


def enclosed(parts: Sequence[widgets.Widget]) -> widgets.VBox:
    """The parts of a bench, one below the other, with its guard. Colab shows widgets in a frame of their own, which no
    key leaves: there is none there."""
    guard = [] if "google.colab" in sys.modules else [Guard(layout={"display": "none"})]
    bench = widgets.VBox([*parts, *guard])
    bench.add_class(BENCH)
    return bench
