"""What is said of exports before there is a model."""

import pytest

from slm_core.config import ExperimentConfig, load_presets
from slm_core.runs.formats import FORMATS, cannot_export, file_stem, reads_otherwise


def test_every_preset_can_be_taken_everywhere():
    for preset in load_presets().values():
        assert cannot_export(preset.config) == {}
        assert set(reads_otherwise(preset.config)) <= set(FORMATS)


def test_heads_of_one_number_are_refused_for_gguf_and_the_advice_helps():
    config = ExperimentConfig(n_embd=16, n_head=16, positions="learned")
    refusal = cannot_export(config)
    assert list(refusal) == ["gguf"] and "16 heads in width 16" in refusal["gguf"]
    assert not cannot_export(config.with_changes({"n_head": 8}))


@pytest.mark.parametrize(
    ("name", "stem"),
    [
        ("My tiny one", "My-tiny-one"),
        ("../../etc/passwd", "etc-passwd"),
        ("$(rm -f*)'\"\n", "rm--f"),
        ("Größe", "Gr-e"),
        ("你好", "model"),
        ("", "model"),
    ],
)
def test_a_files_name_holds_nothing_that_a_terminal_would_read_as_a_sign(name, stem):
    assert file_stem(name) == stem
