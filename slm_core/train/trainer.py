"""The training loop, as a generator of events.

The trainer touches no file and no global random state. Between two events it is at rest: to pause, do not ask
for the next event; to stop, never ask again; to save, call `state()`. Every random draw follows from (seed,
purpose, step), so there is no random state to keep: a run resumed at step k draws what the unbroken run
draws.
"""

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils import clip_grad_norm_

from slm_core.config import ExperimentConfig
from slm_core.errors import CheckpointError
from slm_core.model.generate import write_text
from slm_core.model.gpt import GPT, Dropout
from slm_core.model.loss import token_losses
from slm_core.model.probe import extraction_rate, passage_length, passages_of
from slm_core.model.sampling import Sampling
from slm_core.text.corpus import Dataset
from slm_core.text.spans import span_length
from slm_core.train.accelerate import PLAIN, Pace, Passes
from slm_core.train.crew import crew_on
from slm_core.train.evaluate import (
    Measured,
    Windows,
    check_validation,
    consecutive_windows,
    measure,
    windows_from_starts,
)
from slm_core.train.events import (
    EvalDone,
    Event,
    ExtractionDone,
    Notice,
    RunFinished,
    RunStarted,
    SampleDrawn,
    StepDone,
    Working,
)
from slm_core.train.optim import learning_rate_at, make_optimizer
from slm_core.train.parallel import ALONE, Team

Result = TypeVar("Result")
_WEIGHTS, _BATCHES, _DROPOUT, _SAMPLES = range(4)  # the purposes of random draws
PROMPT_TOKENS, SAMPLE_TOKENS = 6, 48


@dataclass
class Progress:
    """Where a run stands. Saved with the weights, it says exactly which event comes next."""

    step: int = 0  # updates done
    evaluated: int = -1  # the last step at which losses were measured
    extracted: int = -1  # the last step at which it was tested what is known by heart
    samples: int = 0  # samples drawn since the last update
    best_step: int = 0
    best_validation_loss: float = math.inf
    in_vain: int = 0  # evaluations since then, none of them better
    elapsed_seconds: float = 0.0  # spent computing, pauses left out
    step_seconds: float = 0.0  # a running mean, for the time left
    evaluation_seconds: float = 0.0  # likewise
    extraction_seconds: float = 0.0


class Trainer:
    """One run: a fresh model and everything needed to train it. `model` and `progress` may be read between
    events."""

    def __init__(
        self,
        config: ExperimentConfig,
        dataset: Dataset,
        device: str = "cpu",
        team: Team = ALONE,
        pace: Pace = PLAIN,
    ) -> None:
        """`config.vocab_size` is replaced by the size of the dataset's tokenizer. In a team, each process has
        a trainer; all must be asked for events, and only the leader's measures. Raises CorpusError if the
        validation text is too short to measure anything."""
        self.config = config.with_changes({"vocab_size": dataset.tokenizer.vocab_size})
        self.dataset, self.device, self.team = dataset, torch.device(device), team
        self.train_windows = self._windows(dataset.train)
        self.validation_windows = self._windows(dataset.validation)
        check_validation(self.validation_windows)
        length = passage_length(config.block_size, min(len(dataset.train), len(dataset.validation)))
        self.train_passages, self.validation_passages = (
            passages_of(ids, length, dataset.tokenizer.end_of_text).to(self.device)  # (P, 2 * length)
            for ids in (dataset.train, dataset.validation)
        )
        # The weights are drawn on the CPU and then moved, so that every device starts from the same ones.
        self.model = GPT(self.config, torch.Generator().manual_seed(self._seed(_WEIGHTS, 0))).to(self.device)
        self.model.train()
        self._averaging_model = team.averaging(self.model)  # the same weights; called only to train
        self._passes = Passes(self._averaging_model, pace, self.device)
        self._crew = crew_on(self.device, self.config, team.alone)
        self.optimizer = make_optimizer(self.model, self.config)
        self.progress = Progress()
        self._sequences = config.batch_size * config.gradient_accumulation_steps  # of one step, in all
        self._ids = torch.from_numpy(dataset.train.astype(np.int64)).to(self.device)  # (N,)
        self._byte_lengths = torch.from_numpy(dataset.tokenizer.byte_lengths())  # (V,)
        # One for the whole run: a compiled model keeps it.
        self._dropout_random = torch.Generator(self.device)
        for module in self.model.modules():
            if isinstance(module, Dropout):
                module.generator = self._dropout_random

    def events(self) -> Iterator[Event]:
        """Train from where the run stands to its end. See the module's first lines for what a caller may do
        between."""
        config, progress = self.config, self.progress
        yield RunStarted(
            step=progress.step,
            max_iters=config.max_iters,
            device=str(self.device) if self.team.alone else f"{self.team.size} × {self.device.type}",
            threads=torch.get_num_threads(),
            parameters=sum(weight.numel() for weight in self.model.parameters()),
            train_tokens=len(self.dataset.train),
            validation_tokens=self.validation_windows.tokens,
            loss_at_chance=math.log(config.vocab_size),
        )
        if progress.evaluated < 0:
            yield from (Notice(step=0, text=text) for text in self.dataset.notices)
        yield from self._passes.begin((config.batch_size, config.block_size), progress.step)
        while True:
            if progress.step % config.eval_interval == 0 or progress.step == config.max_iters:
                finite = (yield from self._take_stock()) if self.team.leads else True
                if self.team.mean(finite) < 1:  # the others learn of it here
                    yield self._diverged()
                    return
                if self.team.mean(self._out_of_patience()) > 0:  # and of this
                    yield self._ended_early()
                    return
            if progress.step == config.max_iters:
                yield self._finished("finished", f"All {config.max_iters:,} steps are done.")
                return
            trained = yield from self._train_step()
            if not trained:
                yield self._diverged()
                return

    def _train_step(self) -> Iterator[Event]:
        """One update. Gives False, and leaves the weights alone, if the loss or the gradient is not
        finite."""
        config, progress = self.config, self.progress
        step = progress.step + 1
        passes = self.team.share(self._batch(step), most=config.batch_size)
        self._seed_dropout(step)
        self.optimizer.zero_grad()
        loss, began = 0.0, progress.elapsed_seconds
        for done, starts in enumerate(passes):
            if done:
                yield Working(step=progress.step, doing="adding up gradients", share=done / len(passes))
            with self.team.averaging_once(self._averaging_model, last=done + 1 == len(passes)):
                loss += self._timed(lambda starts=starts: self._backward(starts))
        loss = self.team.mean(loss)
        grad_norm = self._timed(
            lambda: float(clip_grad_norm_(self.model.parameters(), config.grad_clip or math.inf))
        )
        if not math.isfinite(loss) or not math.isfinite(grad_norm):
            return False
        learning_rate = learning_rate_at(config, step)
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate
        self._timed(self.optimizer.step)
        progress.step, progress.samples = step, 0
        progress.step_seconds = _running_mean(progress.step_seconds, progress.elapsed_seconds - began)
        yield StepDone(
            step=step,
            loss=loss,
            learning_rate=learning_rate,
            grad_norm=grad_norm,
            tokens_per_second=config.tokens_per_step / max(progress.step_seconds, 1e-9),
            elapsed_seconds=progress.elapsed_seconds,
            remaining_seconds=self._remaining_seconds(),
        )
        return True

    def _batch(self, step: int) -> np.ndarray:
        """Where the stretches of text begin that this step reads, in all passes and processes together."""
        random = np.random.default_rng([self.config.seed, _BATCHES, step])
        return random.integers(0, len(self._ids) - self.config.block_size, size=self._sequences)

    def _backward(self, starts: np.ndarray) -> float:
        """Add the gradient of the stretches of text that begin at `starts` (B,); give their part of this
        process's loss."""
        places = torch.from_numpy(starts)[:, None] + torch.arange(self.config.block_size + 1)  # (B, T + 1)
        text = self._ids[places.to(self.device)]  # (B, T + 1)
        return self._crew.add_gradients(self._loss, list(self.model.parameters()), text)

    def _loss(self, text: Tensor) -> Tensor:
        """What stretches of text (B, T + 1) add to this process's loss in a step: a mean over all tokens."""
        logits = self._passes(text[:, :-1])  # (B, T, V)
        tokens = self._sequences // self.team.size * self.config.block_size
        return token_losses(logits, text[:, 1:]).sum() / tokens

    def _take_stock(self) -> Iterator[Event]:
        """Measure, test and sample, as far as that is not done for this step. Gives False if the losses are
        not finite."""
        finite = yield from self._evaluate()
        if finite:
            yield from self._test_memory()
            yield from self._write_samples()
        return finite

    def _evaluate(self) -> Iterator[Event]:
        """Measure both losses, unless that is done for this step. Gives False if they are not finite."""
        progress = self.progress
        if progress.evaluated == progress.step:
            return True
        began = progress.elapsed_seconds
        train = yield from self._measure(self.train_windows, "measuring the training loss")
        validation = yield from self._measure(self.validation_windows, "measuring the validation loss")
        progress.evaluation_seconds = _running_mean(
            progress.evaluation_seconds, progress.elapsed_seconds - began
        )
        progress.evaluated = progress.step
        if not math.isfinite(train.loss + validation.loss):
            return False
        is_best = validation.loss < progress.best_validation_loss
        if is_best:
            progress.best_step, progress.best_validation_loss = progress.step, validation.loss
        progress.in_vain = 0 if is_best else progress.in_vain + 1
        yield EvalDone(
            step=progress.step,
            train_loss=train.loss,
            train_bits_per_byte=train.bits_per_byte,
            validation_loss=validation.loss,
            validation_standard_error=validation.standard_error,
            validation_bits_per_byte=validation.bits_per_byte,
            windows=validation.windows,
            is_best=is_best,
        )
        return True

    def _measure(self, windows: Windows, doing: str) -> Iterator[Event]:
        for result in measure(self.model, windows, self._byte_lengths, self._timed):
            if isinstance(result, Measured):
                return result
            yield Working(step=self.progress.step, doing=doing, share=result)

    def _test_memory(self) -> Iterator[Event]:
        """See how much of each side the model knows by heart, unless that is done for this step."""
        progress = self.progress
        if progress.extracted == progress.step:
            return
        began = progress.elapsed_seconds
        train = self._timed(lambda: extraction_rate(self.model, self.train_passages))
        yield Working(step=progress.step, doing="testing what is known by heart", share=0.5)
        validation = self._timed(lambda: extraction_rate(self.model, self.validation_passages))
        progress.extraction_seconds = _running_mean(
            progress.extraction_seconds, progress.elapsed_seconds - began
        )
        progress.extracted = progress.step
        yield ExtractionDone(
            step=progress.step,
            train_rate=train.rate,
            validation_rate=validation.rate,
            places_train=train.places,
            places_validation=validation.places,
            length_tokens=self.train_passages.size(1) // 2,
        )

    def _write_samples(self) -> Iterator[Event]:
        """Let the model go on from the beginning of a text it learns from, and of one it has never seen."""
        progress, tokenizer = self.progress, self.dataset.tokenizer
        for source in ("training", "validation")[progress.samples :]:
            prompt = self._prompt(source)
            seed = self._seed(_SAMPLES, progress.step)
            sampling = Sampling(max_new_tokens=SAMPLE_TOKENS, seed=seed)
            self.model.eval()
            text = self._timed(lambda s=sampling, p=prompt: "".join(write_text(self.model, tokenizer, p, s)))
            self.model.train()
            progress.samples += 1
            yield SampleDrawn(step=progress.step, source=source, prompt=prompt, text=text)

    def _prompt(self, source: str) -> str:
        ids = self.dataset.train if source == "training" else self.dataset.validation
        return self.dataset.tokenizer.decode(ids[1 : 1 + PROMPT_TOKENS])  # the first is an end mark

    def _windows(self, ids: np.ndarray) -> Windows:
        if self.dataset.scored_from_starts:
            return windows_from_starts(ids, self.config.block_size, self.dataset.tokenizer.end_of_text)
        return consecutive_windows(ids, span_length(self.dataset.validation, self.config.block_size))

    def _seed(self, purpose: int, step: int) -> int:
        return int(np.random.SeedSequence([self.config.seed, purpose, step]).generate_state(1)[0] >> 1)

    def _seed_dropout(self, step: int) -> None:
        if self.config.dropout == 0:
            return
        seed = self._seed(_DROPOUT, step) + self.team.rank  # each process switches off others
        self._dropout_random.manual_seed(seed)

    def _timed(self, work: Callable[[], Result]) -> Result:
        began = time.perf_counter()
        result = work()
        self.progress.elapsed_seconds += time.perf_counter() - began
        return result

    def _remaining_seconds(self) -> float:
        config, progress = self.config, self.progress
        evaluations = (
            math.ceil(config.max_iters / config.eval_interval) - progress.step // config.eval_interval
        )
        steps = config.max_iters - progress.step
        return steps * progress.step_seconds + evaluations * (
            progress.evaluation_seconds + progress.extraction_seconds
        )

    def _out_of_patience(self) -> bool:
        """Whether the last evaluations were all in vain, and steps are left that need not be done."""
        config, progress = self.config, self.progress
        return 0 < config.patience <= progress.in_vain and progress.step < config.max_iters

    def _ended_early(self) -> RunFinished:
        progress, times = self.progress, self.config.patience
        return self._finished(
            "finished",
            f"Ended early, after step {progress.step:,} of {self.config.max_iters:,}: the validation loss "
            f"was measured {times} time{'s' if times > 1 else ''} without falling below its best, that of "
            f"step {progress.best_step:,}.",
        )

    def _diverged(self) -> RunFinished:
        return self._finished(
            "diverged",
            f"After step {self.progress.step} the loss was no longer a finite number: the updates were too "
            "large. "
            f"Try a learning_rate of {self.config.learning_rate / 3:.1g} or more warmup_iters.",
        )

    def stopped(self) -> RunFinished:
        """The event that ends a run which nobody asks to go on."""
        return self._finished(
            "stopped", f"Stopped after step {self.progress.step:,}. The run can go on from here."
        )

    def _finished(self, reason: str, text: str) -> RunFinished:
        progress = self.progress
        return RunFinished(
            step=progress.step,
            reason=reason,
            text=text,
            best_step=progress.best_step,
            best_validation_loss=progress.best_validation_loss
            if progress.best_validation_loss < math.inf
            else 0.0,
            elapsed_seconds=progress.elapsed_seconds,
        )

    def state(self) -> tuple[dict[str, Tensor], dict[str, float]]:
        """Everything needed to go on: tensors by name (weights and what the optimizer keeps of each; not
        copied) and the progress."""
        tensors = {f"model.{name}": weight.detach() for name, weight in self.model.named_parameters()}
        for name, weight in self.model.named_parameters():
            for key, value in self.optimizer.state[weight].items():
                tensors[f"optimizer.{key}.{name}"] = value
        return tensors, asdict(self.progress)

    def restore(self, tensors: dict[str, Tensor], progress: dict[str, float]) -> None:
        """Put back what `state` gave. Raises CheckpointError if it belongs to another config."""
        try:
            with torch.no_grad():
                for name, weight in self.model.named_parameters():
                    moments = {
                        key: tensors[f"optimizer.{key}.{name}"]
                        for key in self.optimizer.keeps(weight)
                        if f"optimizer.{key}.{name}" in tensors
                    }
                    for key, value in {"weight": tensors[f"model.{name}"], **moments}.items():
                        if key != "step" and value.shape != weight.shape:  # copy_ would spread a smaller one
                            raise ValueError(f"{key} of {name} is {tuple(value.shape)}")
                    weight.copy_(tensors[f"model.{name}"])
                    if moments:  # none before the first update
                        self.optimizer.state[weight] = {
                            key: value.clone().to(
                                "cpu" if key == "step" and self.device.type == "cpu" else self.device
                            )
                            for key, value in moments.items()
                        }
            self.progress = Progress(**progress)
        except (KeyError, RuntimeError, TypeError, ValueError) as error:
            raise CheckpointError(
                f"The saved state does not fit this run's config ({error}). Start the run anew."
            ) from None


def _running_mean(mean: float, value: float) -> float:
    return value if mean == 0 else 0.9 * mean + 0.1 * value
