"""A text with marks in it: how far a run reads, how uncertain each word is, where it cannot be.

All of it is HTML whose every piece of text is escaped: a text can look like markup, and stays a text.
"""

import html
import math
from collections.abc import Sequence
from itertools import pairwise

from slm_core.study.samples import Passage
from slm_core.text.stories import Choice

_DARKEST = math.log(60)  # nats; choices with more odds than this look the same
# Half-transparent colours suit paper and ink alike; letters are to be read, so each has its own red. The one
# before it is for a browser that does not know light-dark.
STYLE = """<style>
.slm-text { white-space: pre-wrap; overflow-wrap: anywhere; line-height: 1.6; max-height: 26rem;
  overflow-y: auto; padding: .1rem .2rem; unicode-bidi: plaintext; }
.slm-text .unread { opacity: .45; }
.slm-text .end { display: inline-block; white-space: normal; font-size: .72em; line-height: 1.3;
  padding: 0 .45em; margin: 0 .25em; border-radius: .3em; background: rgba(40, 130, 210, .26);
  vertical-align: .1em; unicode-bidi: isolate; }
.slm-text .end.now { background: rgba(40, 130, 210, .85); color: #fff; font-weight: 600; }
.slm-odds { white-space: pre-wrap; overflow-wrap: anywhere; line-height: 2; font-size: 1.1em; }
.slm-odds span { border-radius: .3em; padding: .12em .1em; position: relative; }
.slm-odds span[data-odds]:hover::after { content: attr(data-odds); position: absolute; left: 0;
  bottom: 1.75em; z-index: 9; white-space: nowrap; font-size: .8em; line-height: 1.3;
  padding: .2em .6em; border-radius: .3em; background: #2b2430; color: #fff; }
.slm-odds .cannot { background: rgba(225, 45, 45, .3); border-bottom: .18em solid rgb(225, 45, 45); }
.slm-written { white-space: pre-wrap; overflow-wrap: anywhere; line-height: 1.75; unicode-bidi: plaintext; }
.slm-written .prompt { opacity: .6; }
.slm-written .copied { background: rgba(0, 120, 200, .2); border-radius: .2em; padding: .1em 0;
  position: relative; cursor: help; }
.slm-written .copied:is(:hover, :focus)::after { content: attr(data-source); position: absolute; left: 0;
  top: 1.7em; z-index: 9; width: max-content; max-width: min(26rem, 70vw); white-space: pre-wrap;
  font-size: .85em; line-height: 1.4; padding: .5em .8em; border-radius: .3em; background: #2b2430;
  color: #fff; }
.slm-written .cannot { color: rgb(215, 45, 45); color: light-dark(#ae1220, #ff8f86);
  text-decoration: underline wavy; }
.slm-legend { display: flex; flex-wrap: wrap; gap: .3rem 1.1rem; font-size: .9em; align-items: baseline; }
.slm-legend span span { border-radius: .3em; padding: .12em .5em; }
.slm-legend .cannot { background: rgba(225, 45, 45, .3); border-bottom: .18em solid rgb(225, 45, 45); }
</style>"""


def document(text: str, ends: Sequence[tuple[int, str, bool]], read: int) -> str:
    """A document with a mark wherever a size ends: (after so many characters, label, whether it is the size
    that is set). What stands behind its first `read` characters is faint."""
    cuts = sorted({0, min(read, len(text)), len(text), *(at for at, _, _ in ends if at <= len(text))})
    pieces = []
    for start, end in pairwise([*cuts, len(text)]):
        faint = ' class="unread"' if start >= read else ""
        pieces.append(f"<span{faint}>{html.escape(text[start:end])}</span>" if start < end else "")
        for at, label, now in ends:
            if at == end > start:
                pieces.append(f'<span class="end{" now" * now}">{html.escape(label)}</span>')
    return f'{STYLE}<div class="slm-text">{"".join(pieces)}</div>'


def odds(nats: float) -> str:
    """A surprise in words: "certain", "1 in 8", "cannot be"."""
    if nats == math.inf:
        return "cannot be"
    if nats < 0.005:
        return "certain"
    if nats < math.log(10):
        return f"1 in {math.exp(nats):.2g}"
    if nats < math.log(1e6):
        return f"1 in {float(f'{math.exp(nats):.2g}'):,.0f}"
    return f"1 in 10^{nats / math.log(10):.0f}"


def uncertain(text: str, choices: Sequence[Choice], first_impossible: int | None) -> str:
    """A text whose uncertain words lie on a deeper ground, and what cannot be on red; the odds at each."""
    end = len(text) if first_impossible is None else first_impossible
    pieces = []
    for choice in choices:
        said = text[choice.start : min(choice.end, end)]
        blank = len(said) - len(said.lstrip())
        if choice.nats == 0 or choice.nats == math.inf or not said.strip():
            pieces.append(html.escape(said))
            continue
        word = (
            f'<span data-odds="{odds(choice.nats)}" {_shade(choice.nats)}>{html.escape(said[blank:])}</span>'
        )
        pieces.append(html.escape(said[:blank]) + word)
    if end < len(text):
        pieces.append(f'<span class="cannot" data-odds="no story says this">{html.escape(text[end:])}</span>')
    return f'{STYLE}<div class="slm-odds">{"".join(pieces)}</div>'


def written(passages: Sequence[Passage], prompt: int, first_impossible: int | None = None) -> str:
    """What a model wrote after a prompt of so many characters: passages that it copied on a blue ground, with
    their source to point at, and what cannot be in red."""
    pieces, start = [], 0
    for passage in passages:
        end = start + len(passage.text)
        cuts = [at for at in (prompt, first_impossible) if at is not None and start < at < end]
        inner = []
        for first, last in pairwise(sorted({start, end, *cuts})):
            wrong = first_impossible is not None and first >= first_impossible
            kind = "cannot" if wrong else "prompt" if first < prompt else "new"
            inner.append(
                f'<span class="{kind}">{html.escape(passage.text[first - start : last - start])}</span>'
            )
        pieces.append(_with_source("".join(inner), passage.source))
        start = end
    return f'{STYLE}<div class="slm-written">{"".join(pieces)}</div>'


def _with_source(said: str, source: str) -> str:
    if not source:
        return said
    told = html.escape(f"In its training text: {source}")
    return f'<span class="copied" tabindex="0" data-source="{told}">{said}</span>'


def legend() -> str:
    """What the grounds of `uncertain` mean."""
    samples = "".join(
        f"<span><span {_shade(math.log(n))}>1 in {n}</span> {said}</span>"
        for n, said in ((2, "a coin"), (6, "a die"), (30, "a guess"), (60, "or more"))
    )
    return (
        f'{STYLE}<div class="slm-legend"><span>plain: certain</span>{samples}'
        '<span><span class="cannot">red</span> cannot be</span></div>'
    )


def _shade(nats: float) -> str:
    return f'style="background: rgba(165, 75, 185, {0.12 + 0.5 * min(1.0, nats / _DARKEST):.2f})"'
