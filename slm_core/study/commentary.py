"""One sentence on where a run stands, from measured numbers only."""

from collections.abc import Sequence

from slm_core.train.events import EvalDone

CLEAR = 3.0  # standard errors that a rise must have before it is called one


def commentary(evaluations: Sequence[EvalDone], loss_at_chance: float, leaking: bool = False) -> str:
    """What the latest losses show, for somebody who sees such a chart for the first time.

    Evaluations in the order of steps. leaking: the validation text stands in the training text, too.
    """
    if not evaluations:
        return "Measuring the untrained model first: it should guess no better than chance."
    now = evaluations[-1]
    losses = f"Training loss {now.train_loss:.2f}, validation loss {now.validation_loss:.2f}"
    if len(evaluations) == 1:
        return (
            f"Before training the loss is {now.validation_loss:.2f}; guessing blindly among all tokens costs "
            f"{loss_at_chance:.2f}. The model knows nothing yet."
        )
    if leaking:
        return (
            f"{losses}: this looks like understanding and is not, as the validation text stands in the "
            "training text, too. Both losses measure memory."
        )
    best = min(evaluations, key=lambda each: each.validation_loss)
    rise = now.validation_loss - best.validation_loss
    gap = now.validation_loss - now.train_loss
    noise = CLEAR * max(now.validation_standard_error, 1e-9)
    if rise > noise:
        return (
            f"On its own text the loss is down to {now.train_loss:.2f}, on new text it has climbed to "
            f"{now.validation_loss:.2f}, {rise:.2f} above its best at step {best.step:,}: since then the "
            "model has been learning its text by heart, not the language."
        )
    if gap > noise:
        return (
            f"{losses}: the model does {gap:.2f} better on text it has read than on new text, and on new "
            "text it has not become worse."
        )
    return f"{losses}: the model does as well on new text as on text it has read. It learned what both share."
