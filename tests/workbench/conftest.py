"""A bench with two untrained models."""

import pytest

from sellarec_lab import workbench
from sellarec_lab.workbench import Case


@pytest.fixture(scope="module")
def model(untrained):
    return untrained("sella")


@pytest.fixture(scope="module")
def text(untrained):
    return untrained("tallrec")


@pytest.fixture
def bench(model, text, toy):
    return workbench.open({"sella": model, "text": text}, toy)


@pytest.fixture
def case(model):
    return Case.of(model, 3, 5)
