"""What a model is graded by: its surprise at each token that came."""

import torch
from torch import Tensor

IGNORED = -1  # a target that is not scored


def token_losses(logits: Tensor, targets: Tensor) -> Tensor:
    """Surprise at each target, in nats: -ln of the probability given to it. Logits (B, T, V), targets (B, T)
    -> (B, T); zero where the target is IGNORED."""
    return _Surprise.apply(logits, targets)


class _Surprise(torch.autograd.Function):
    """Cross-entropy, with the gradient of a logit written down: its token's probability, less 1 for the
    target. torch's own fills a matrix with zeros for these ones and adds up each row of it again, which takes
    a twentieth of a small model's step."""

    @staticmethod
    def forward(ctx, logits: Tensor, targets: Tensor) -> Tensor:
        logs = logits.float().log_softmax(dim=-1)  # (B, T, V), whatever the model computes in
        ctx.save_for_backward(logs, targets)
        at_target = logs.gather(-1, targets.clamp(min=0)[..., None])[..., 0]  # (B, T)
        return torch.where(targets == IGNORED, 0.0, -at_target)

    @staticmethod
    def backward(ctx, grad: Tensor) -> tuple[Tensor, None]:
        logs, targets = ctx.saved_tensors
        grad = grad.masked_fill(targets == IGNORED, 0.0)[..., None]  # (B, T, 1)
        of_logits = logs.exp_().mul_(grad)  # in place: nobody needs the logarithms any more
        return of_logits.scatter_add_(-1, targets.clamp(min=0)[..., None], -grad), None
