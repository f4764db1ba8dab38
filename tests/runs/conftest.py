"""What the tests of runs share."""

import pytest

from slm_core.train import trainer


@pytest.fixture(autouse=True)
def _short_samples(monkeypatch) -> None:
    """Samples of a few tokens: they are half of what a tiny run costs, and here nobody reads them."""
    monkeypatch.setattr(trainer, "SAMPLE_TOKENS", 4)
