"""Run cards: measured from the run's own folder, and read back with suspicion."""

import json
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slm_core.config import load_preset
from slm_core.runs.history import History
from slm_core.runs.store import Run, create_run
from slm_core.teach.card import LARGEST_CARD_BYTES, Card, CardError, card_of, checked_nickname, read_card
from slm_core.train.events import EvalDone, ExtractionDone, RunFinished, RunStarted

CONFIG = load_preset("ULTRA_TINY").config
CARD = Card(
    nickname="Ada", config=CONFIG, made="2026-03-01T10:00:00+00:00", machine="cpu, threads: 1", best=4.5,
    gap=1.25, extraction=0.5, chance=6.6, floor=None, seconds=12.5,
)  # fmt: skip


def evaluation(step: int, train: float, validation: float) -> EvalDone:
    return EvalDone(
        step=step, train_loss=train, train_bits_per_byte=train / 2, validation_loss=validation,
        validation_standard_error=0.01, validation_bits_per_byte=validation / 2, windows=30, is_best=False,
    )  # fmt: skip


def told_run(root, *, reason: str = "finished", **changes) -> Run:
    """A run whose history was written by hand: best validation 5.0, gap at the end 5.5 - 2.0."""
    run = create_run(root, CONFIG.with_changes(changes), name="told", device="cpu", threads=2)
    run.append(
        RunStarted(
            step=0, max_iters=20, device="cpu", threads=2, parameters=1, train_tokens=2_000,
            validation_tokens=500, loss_at_chance=6.64,
        )
    )  # fmt: skip
    for step, train, validation in ((0, 6.7, 6.7), (10, 3.0, 5.0), (20, 2.0, 5.5)):
        run.append(evaluation(step, train, validation))
    for step, rate in ((0, 0.0), (20, 0.75)):
        run.append(
            ExtractionDone(
                step=step, train_rate=rate, validation_rate=0.0, places_train=9, places_validation=9,
                length_tokens=16,
            )
        )  # fmt: skip
    if reason:
        run.append(
            RunFinished(
                step=20, reason=reason, text="", best_step=10, best_validation_loss=5.0, elapsed_seconds=9.5
            )
        )
    return run


def history(run: Run) -> History:
    return History(run.folder).refresh()


def test_a_card_tells_what_the_folder_tells(tmp_path):
    run = told_run(tmp_path)
    card = card_of(run, history(run), " Ada ")
    assert (card.nickname, card.config, card.machine) == ("Ada", CONFIG, "cpu, threads: 2")
    assert (card.best, card.gap, card.extraction) == (5.0, 3.5, 0.75)
    assert (card.chance, card.floor, card.seconds) == (6.64, None, 9.5)
    assert run.folder.name not in card.to_json() and "owner" not in card.to_json()


@pytest.mark.parametrize(
    ("reason", "words"),
    [("", "not ended"), ("stopped", "all its"), ("diverged", "all its"), ("failed", "all its")],
)
def test_only_whole_runs_have_cards(tmp_path, reason, words):
    run = told_run(tmp_path, reason=reason)
    with pytest.raises(CardError, match=words):
        card_of(run, history(run), "Ada")


def test_a_model_from_a_file_has_no_card(tmp_path):
    run = told_run(tmp_path)
    with pytest.raises(CardError, match="came as a file"):
        card_of(replace(run, imported=True), history(run), "Ada")


def test_a_card_comes_back_as_it_was(tmp_path):
    run = told_run(tmp_path, seed=3)
    for card in (CARD, card_of(run, history(run), "Émile 🌱")):
        assert read_card(card.to_json().encode()) == card
        assert len(card.to_json().encode()) < LARGEST_CARD_BYTES / 4


def test_a_run_is_known_by_what_was_measured_and_not_by_its_nickname():
    assert replace(CARD, nickname="Bo").fingerprint == CARD.fingerprint
    others = [
        replace(CARD, best=4.500001),
        replace(CARD, config=CONFIG.with_changes({"seed": 1})),
        replace(CARD, made="2026-03-01T10:00:01+00:00"),
    ]
    assert len({card.fingerprint for card in [CARD, *others]}) == 4


@pytest.mark.parametrize(
    "name", ["Ada", "x", "Çelik", "李雷", "Anna-Lena", "R. D.", "O'Neil", "🌱", "a" * 24]
)
def test_nicknames_that_a_class_may_see(name):
    assert checked_nickname(f"  {name} ") == name


@pytest.mark.parametrize(
    "name",
    ["", "   ", "a" * 25, "<b>", "a&b", "[x](y)", "`x`", "**x**", "a\nb", "a\tb", "\u202eabc", "a\u200bb",
     "\x00", "...", "_", "a|b", "$x$"],
)  # fmt: skip
def test_nicknames_that_are_refused(name):
    with pytest.raises(CardError):
        checked_nickname(name)


def changed(**changes) -> bytes:
    return json.dumps({**json.loads(CARD.to_json()), **changes}).encode()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "JSON"),
        (b"\xff\xfe", "JSON"),
        (b"[" * 5_000, "JSON"),
        (b"[]", "no card"),
        (b'{"a": 1}', "no card"),
        (b" " * (LARGEST_CARD_BYTES + 1), "bytes"),
        (changed(card=2), "version 2"),
        (changed(card=True), "version"),
        (changed(more=1), "more"),
        (changed(best="low"), "best"),
        (changed(best=-1), "best"),
        (changed(best=True), "best"),
        (changed(gap=1e9), "gap"),
        (changed(extraction=1.5), "extraction"),
        (CARD.to_json().replace("4.5", "NaN").encode(), "best"),
        (CARD.to_json().replace("4.5", "1e999").encode(), "best"),
        (changed(nickname="<script>"), "nickname"),
        (changed(nickname=7), "nickname"),
        (changed(config={"n_layer": 99}), "n_layer"),
        (changed(config={"moon": 1}), "moon"),
        (changed(config=[]), "settings"),
        (changed(made="yesterday"), "no time"),
        (changed(made=5), "no time"),
        (changed(machine="x" * 61), "machine"),
        (changed(machine="a\nb"), "machine"),
    ],
)
def test_what_is_no_card_is_said(content, words):
    with pytest.raises(CardError) as error:
        read_card(content)
    assert words in str(error.value) and len(str(error.value)) < 400


@settings(deadline=None, max_examples=200)
@given(st.sampled_from(sorted(json.loads(CARD.to_json()))), st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
))  # fmt: skip
def test_a_card_with_one_odd_value_is_read_or_refused_in_words(name, value):
    try:
        read_card(changed(**{name: value})).to_json()
    except CardError as error:
        assert str(error)
