"""Imported before everything else of this room: bitsandbytes warns, when it is imported, about an optional package of
faster CPU kernels, in every notebook. What runs and why is printed by the decisions instead."""

import logging

logging.getLogger("bitsandbytes.backends.cpu.ops").setLevel(logging.ERROR)
