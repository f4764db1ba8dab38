"""A pace changes how a pass is computed: nearly the same losses in bfloat16, and never a run that breaks."""

import math

import pytest
import torch

from slm_core.train.accelerate import PLAIN, Pace, Passes
from slm_core.train.events import EvalDone, Notice, RunFinished, StepDone
from slm_core.train.trainer import Trainer


def trained(config, dataset, pace: Pace) -> tuple[Trainer, list]:
    trainer = Trainer(config, dataset, pace=pace)
    return trainer, list(trainer.events())


def of_kind(events: list, kind: type) -> list:
    return [event for event in events if isinstance(event, kind)]


# On the processor, torch's fast RMSNorm does not take bfloat16 beside float32 weights; it takes the slow one.
@pytest.mark.filterwarnings("ignore:Mismatch dtype between input and weight")
@pytest.mark.parametrize("architecture", ["gpt2", "qwen3"])
def test_bfloat16_gives_nearly_the_losses_of_float32_and_says_so(tiny_config, tiny_dataset, architecture):
    config = tiny_config.with_changes({"architecture": architecture})
    (_, plain), (trainer, short) = (
        trained(config, tiny_dataset, pace) for pace in (PLAIN, Pace(bfloat16=True))
    )
    losses = [[event.loss for event in of_kind(events, StepDone)] for events in (plain, short)]
    assert losses[0] != losses[1], "nothing was shortened"
    assert losses[0] == pytest.approx(losses[1], abs=2e-2)
    assert {weight.dtype for weight in trainer.model.parameters()} == {torch.float32}
    assert "bfloat16" in of_kind(short, Notice)[0].text and not of_kind(plain, Notice)
    # Untrained, both are measured with the same weights: measuring is as exact as ever.
    assert of_kind(plain, EvalDone)[0] == of_kind(short, EvalDone)[0]


def test_logits_are_float32_at_every_pace(tiny_config, tiny_dataset):
    model, idx = Trainer(tiny_config, tiny_dataset).model, torch.arange(8)[None]
    for pace in (PLAIN, Pace(bfloat16=True)):
        assert Passes(model, pace, torch.device("cpu"))(idx).dtype == torch.float32


class Refusing:
    """A compiler that fails: at once, at the first forward pass, or at the first backward pass."""

    def __init__(self, when: str) -> None:
        self.when = when

    def __call__(self, model, **_):
        if self.when == "at once":
            raise RuntimeError("no compiler\nand a long trace")

        def called(idx):
            if self.when == "forward":
                raise RuntimeError("no compiler\nand a long trace")
            logits = model(idx)
            logits.register_hook(self.refuse)
            return logits

        return called

    def refuse(self, gradient):
        raise RuntimeError("no compiler\nand a long trace")


@pytest.mark.parametrize("when", ["at once", "forward", "backward"])
def test_a_model_that_cannot_be_compiled_trains_as_if_nobody_had_tried(
    tiny_config, tiny_dataset, monkeypatch, when
):
    monkeypatch.setattr(torch, "compile", Refusing(when))
    _, plain = trained(tiny_config, tiny_dataset, PLAIN)
    _, fallen_back = trained(tiny_config, tiny_dataset, Pace(compiled=True))
    [notice] = of_kind(fallen_back, Notice)
    assert "could not be compiled (no compiler)." in notice.text
    losses = [[event.loss for event in of_kind(events, StepDone)] for events in (plain, fallen_back)]
    assert losses[0] == losses[1] and len(losses[0]) == 6
    assert of_kind(fallen_back, RunFinished)[0].reason == "finished"


def test_a_compiled_model_is_called_in_every_pass_and_no_other_time(tiny_config, tiny_dataset, monkeypatch):
    calls = []

    def counting(model, **_):
        return lambda idx: calls.append(tuple(idx.shape)) or model(idx)

    monkeypatch.setattr(torch, "compile", counting)
    (_, plain), (_, compiled) = (
        trained(tiny_config, tiny_dataset, pace) for pace in (PLAIN, Pace(compiled=True))
    )
    assert calls == [(4, 16)] * (1 + 6 * 2)  # one to compile; six steps of two passes
    losses = [[event.loss for event in of_kind(events, StepDone)] for events in (plain, compiled)]
    assert losses[0] == losses[1] and all(map(math.isfinite, losses[0]))


@pytest.mark.filterwarnings("ignore:The .grad attribute")  # the compiler looks at it
def test_a_model_is_compiled_once_and_not_anew_for_a_steps_text(tiny_config, tiny_dataset, monkeypatch):
    def without_a_compiler(model, dynamic):
        return real(model, dynamic=dynamic, backend="eager")

    real = torch.compile
    monkeypatch.setattr(torch, "compile", without_a_compiler)
    monkeypatch.setattr(torch._dynamo.config, "error_on_recompile", True)
    _, plain = trained(tiny_config, tiny_dataset, PLAIN)
    _, compiled = trained(tiny_config, tiny_dataset, Pace(compiled=True))
    assert not [event for event in of_kind(compiled, Notice) if "could not" in event.text]
    losses = [[event.loss for event in of_kind(events, StepDone)] for events in (plain, compiled)]
    assert losses[1] == pytest.approx(losses[0], rel=1e-5)
