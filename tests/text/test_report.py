"""The report on a text: what it says, and that it survives a file."""

import math

import pytest

from slm_core.config import ExperimentConfig
from slm_core.errors import CorpusError
from slm_core.text import report
from slm_core.text.corpus import prepare
from slm_core.text.floor import irreducible_loss as floor
from slm_core.text.report import TextReport, text_report

CONFIG = ExperimentConfig(corpus="tales", dataset_size=2_000, vocab_size=400, block_size=64)


@pytest.fixture(scope="module")
def reports() -> dict[str, TextReport]:
    configs = {corpus: CONFIG.with_changes({"corpus": corpus}) for corpus in ("tales", "repeated")}
    return {corpus: text_report(prepare(config), config) for corpus, config in configs.items()}


def test_references_stand_in_their_only_possible_order(reports):
    lines = list(reports["tales"].references().values())
    assert lines[0] == pytest.approx(math.log(400))
    assert lines == sorted(lines, reverse=True) and len(lines) == 3


def test_only_a_known_world_has_a_floor(reports):
    assert reports["tales"].floor is not None and reports["repeated"].floor is None


def test_one_floor_is_computed_for_all_sizes_of_training_text(monkeypatch):
    made = []
    monkeypatch.setattr(report, "irreducible_loss", lambda *asked: made.append(asked) or floor(*asked))
    report._floor.cache_clear()
    for changes in ({}, {"dataset_size": 3_000}, {"block_size": 32}, {"vocab_size": 420}):
        config = CONFIG.with_changes(changes)
        dataset = prepare(config)
        expected = floor(dataset.validation, dataset.tokenizer, config.block_size, "tales")
        assert text_report(dataset, config).floor == expected
    assert len(made) == 3


def test_the_exhibit_leaks_and_the_stories_do_not(reports):
    assert reports["repeated"].leaks.leaking and not reports["tales"].leaks.leaking
    assert reports["repeated"].leaks.share_25 > 0.9


@pytest.mark.parametrize("corpus", ["tales", "repeated"])
def test_a_report_survives_its_file(reports, corpus):
    assert TextReport.from_json(reports[corpus].to_json()) == reports[corpus]


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"floor": 1}', "[" * 10_000])
def test_a_damaged_report_is_said(text):
    with pytest.raises(CorpusError):
        TextReport.from_json(text)
