"""Keys that are typed into a bench stay in it.

JupyterLab listens for its shortcuts on the whole page. From the element that has the focus it looks outwards for one
that a shortcut is meant for, and stops at the attribute ``data-lm-suppress-shortcuts`` (Lumino's command registry).
Most of the notebook's are meant for whatever has the focus, so the attribute must be on that very element: a widget of
our own, which shows nothing, sets it on all that takes the focus in its bench, since ipywidgets can set none. A click
beside the controls has to leave the keys there as well, so the bench takes the focus then.
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
      const keep = (element) => element.setAttribute("data-lm-suppress-shortcuts", "true");
      keep(bench);
      bench.addEventListener("focusin", (event) => keep(event.target));
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
