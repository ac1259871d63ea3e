"""Figures for code hosts: what Chromium draws is a PNG of moderate size."""

from __future__ import annotations

import struct

import numpy as np
import pictures
import plotly.graph_objects as go
import pytest

from sellarec_lab.views import Html

pytestmark = pytest.mark.browser


def size(png: bytes) -> tuple[int, int]:
    assert png.startswith(b"\x89PNG")
    return struct.unpack(">2I", png[16:24])


def test_figures_and_html_become_png(browser):
    figure = go.Figure(go.Scatter(x=[1, 2], y=[3, 4]), {"height": 300})
    wide, high = size(pictures.draw(browser, figure))
    assert wide > 1000 and high == 450  # a pixel and a half a point
    assert size(pictures.draw(browser, Html("<div style='height:40px'>some words</div>")))[1] == 60


def test_a_large_picture_is_drawn_smaller(browser):
    noise = np.random.default_rng(0).random((2, 3000))
    figure = go.Figure(go.Scatter(x=noise[0], y=noise[1], mode="markers"), {"height": 600})
    png = pictures.draw(browser, figure)
    assert len(png) <= pictures.MOST and size(png)[1] < 900
