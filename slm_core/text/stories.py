"""Children's stories drawn from a small world in which the probability of every text is known exactly.

`stories.txt` holds the words and sentences. It is compiled to one program, which is both run to draw a story
and followed along a given text to find its probability, so the two cannot disagree. The mean of -log P over
fresh stories is the entropy of the world: no language model can have a lower validation loss on average.

Source: Shannon, "A Mathematical Theory of Communication" (1948), section 7, the entropy of a source that is a
known random process. The forward algorithm is Baum's (1970), with steps of a program for its hidden states.
"""

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import NamedTuple

from slm_core.caching import computed_once
from slm_core.errors import CorpusError

SIZES = ("tales", "stories")  # each is also the name of the rule it starts from

# Tales keep to the first words of each list, so that a small vocabulary soon has a token for every word.
_FIRST = {"tales": 8, "stories": None}

_PRONOUNS = {
    "she": {"they": "she", "them": "her", "their": "her", "were": "was"},
    "he": {"they": "he", "them": "him", "their": "his", "were": "was"},
    "they": {"they": "they", "them": "them", "their": "their", "were": "were"},
}
_VOWELS_ONLY_IN_WRITING = ("uk", "uni", "use", "eu", "one")  # a ukulele, a unicorn


@dataclass(frozen=True)
class Score:
    """How probable one text is in the story world.

    log_probability    natural log of the chance that a story drawn is exactly this text; -inf if it cannot be
    possible           whether this is one whole story
    first_impossible   the first i at which no story begins with text[: i + 1]; None if the text is a story or
                       the beginning of one, as the empty text is. Nothing is possible behind a whole story.
    """

    log_probability: float
    possible: bool
    first_impossible: int | None


class Choice(NamedTuple):
    """A stretch text[start:end] and its surprise: -log of its chance, given all that stands before it."""

    start: int
    end: int
    nats: float


def draw(size: str, seed: int) -> Iterator[str]:
    """An endless row of different texts of one size, the same for the same seed.

    Repeats are skipped, so the texts after the first are not quite drawn as `score` says: those already given
    have left the world. For stories that is never; of 20,000 tales about five would have been repeats.
    Rows of different seeds are independent, so two of them may share a tale.

    Raises: CorpusError for an unknown size.
    """
    return _distinct(_program(size), Random(seed))


def score(text: str, size: str) -> Score:
    """The exact probability of a text, summed over every way the world can come to say it.

    Raises: CorpusError for an unknown size.
    """
    begins, whole = _program(size).follow(text)
    reached = len(begins) - 1
    return Score(
        log_probability=math.log(whole) if whole else -math.inf,
        possible=whole > 0,
        first_impossible=None if reached == len(text) else reached,
    )


def prefix_log_probabilities(text: str, size: str) -> list[float]:
    """At i, the natural log of the chance that a story begins with text[:i]; len(text) + 1 falling numbers.

    The surprise of text[i:j], given what stands before it, is the i-th less the j-th. That the story then
    ends has the surprise of the last one less `score(text, size).log_probability`.

    Raises: CorpusError for an unknown size.
    """
    begins, _ = _program(size).follow(text)
    logs = []
    lowest = 1.0
    for chance in begins:
        lowest = min(lowest, chance)  # the same chances added in another order may differ in the last digit
        logs.append(math.log(lowest))
    return logs + [-math.inf] * (len(text) + 1 - len(logs))


def continuations(text: str, size: str) -> dict[str, float]:
    """All ways to go on from `text` to the end of its last word, and the chance of each: that a story begins
    with `text` and this.

    A way ends with the first blank behind a sign of any kind, or where a story ends. So every story that
    begins with `text` goes exactly one of these ways, and their chances add up to that of the beginning.
    There are none if no story begins with `text`.

    Raises: CorpusError for an unknown size.
    """
    return _program(size).continuations(text)


def choices(text: str, size: str) -> list[Choice]:
    """Where a text is uncertain: one stretch for each word with surprise, one for the certain words between.

    The stretches cover the text, and their surprises add up to that of all of it. In an impossible text the
    last stretch starts at the first impossible word and has infinite surprise: the rest can't be judged.

    Raises: CorpusError for an unknown size.
    """
    logs = prefix_log_probabilities(text, size)
    found: list[Choice] = []
    for word in re.finditer(r"\s*\S+|\s+\Z", text):
        start, end = word.span()
        nats = logs[start] - logs[end] if logs[end] > -math.inf else math.inf
        if nats == math.inf:
            return [*found, Choice(start, len(text), nats)]
        if nats < 1e-9:
            nats = 0.0
            if found and found[-1].nats == 0.0:
                start = found.pop().start
        found.append(Choice(start, end, nats))
    return found


def _distinct(program: "Program", random: Random) -> Iterator[str]:
    seen = set()
    while True:
        text, _ = program.sample(random)
        if text not in seen:
            seen.add(text)
            yield text


@computed_once(maxsize=8)
def _program(size: str) -> "Program":
    if size not in SIZES:
        raise CorpusError(f"There is no story size {size!r}. Choose one of: {', '.join(SIZES)}.")
    world = Path(__file__).with_name("stories.txt").read_text(encoding="utf-8")
    return compile_world(world, start=size, first=_FIRST[size])


# ---------------------------------------------------------------- the program


class _Text(NamedTuple):
    """Say this."""

    said: str


class _Word(NamedTuple):
    """Say the word of this variable; if it has none, first draw one that no variable of its list has."""

    variable: int
    forms: list[str]  # what is said for each item of the list
    rivals: list[int]  # the variables of the same list, itself included


class _Fork(NamedTuple):
    """Go on at one of these steps, each equally likely."""

    targets: list[int]


class _End(NamedTuple):
    """The text is complete."""


class Program:
    """A compiled world. `sample` and `follow` are two ways of running the same steps."""

    def __init__(self, steps: list[_Text | _Word | _Fork | _End], n_variables: int):
        self._steps = steps
        self._n_variables = n_variables

    def sample(self, random: Random) -> tuple[str, float]:
        """A text and the natural log of the probability of the choices that made it.

        Other choices may make the same text; `follow` adds all of them up. Only `random.random()` is called,
        which gives the same numbers in every version of Python.
        """
        said: list[str] = []
        drawn: dict[int, int] = {}  # variable -> index of its word
        at, chance = 0, 1.0
        while True:
            step = self._steps[at]
            at += 1
            kind = type(step)
            if kind is _Text:
                said.append(step.said)
            elif kind is _Word:
                item = drawn.get(step.variable)
                if item is None:
                    taken = sorted(drawn[rival] for rival in step.rivals if rival in drawn)
                    free = len(step.forms) - len(taken)
                    item = int(random.random() * free)
                    for other in taken:  # count over the taken ones
                        item += other <= item
                    drawn[step.variable] = item
                    chance /= free
                said.append(step.forms[item])
            elif kind is _Fork:
                at = step.targets[int(random.random() * len(step.targets))]
                chance /= len(step.targets)
            else:
                return "".join(said), math.log(chance)

    def follow(self, text: str, beyond: dict | None = None) -> tuple[list[float], float]:
        """The chances that a story begins with text[:0], text[:1], ... while above 0, and that it is `text`.

        The forward algorithm: at each place of the text, the hypotheses (next step, words drawn so far) and
        their chances, equal ones merged. It stops where no hypothesis is left, so even a huge text costs no
        more than a story. A word is drawn where it is first spoken: the text itself settles it at once, and
        few hypotheses live on. No logs are needed: a story has about e^-75, the smallest float is e^-708.

        `beyond` receives the hypotheses that say all of `text` and more: (what more, next step, words drawn)
        -> chance.
        """
        begins = [1.0]
        whole = 0.0
        waiting = {0: {(0, (-1,) * self._n_variables): 1.0}}  # place -> hypothesis -> chance; -1: not drawn
        while waiting:
            place = min(waiting)
            here = waiting.pop(place)
            while here:
                (at, drawn), chance = here.popitem()
                step = self._steps[at]
                if type(step) is _Fork:
                    for target in step.targets:
                        there = (target, drawn)
                        here[there] = here.get(there, 0.0) + chance / len(step.targets)
                elif type(step) is _End:
                    whole += chance if place == len(text) else 0.0
                else:
                    for said, now, share in _sayings(step, drawn, text[place : place + 1]):
                        end = place + _agreement(text, place, said)
                        begins += [0.0] * (end + 1 - len(begins))
                        for i in range(place + 1, end + 1):
                            begins[i] += chance * share
                        if end == place + len(said):
                            behind = waiting.setdefault(end, {})
                            behind[at + 1, now] = behind.get((at + 1, now), 0.0) + chance * share
                        elif end == len(text) and beyond is not None:
                            more = (said[end - place :], at + 1, now)
                            beyond[more] = beyond.get(more, 0.0) + chance * share
        return begins, whole

    def continuations(self, text: str) -> dict[str, float]:
        """What the function of this name gives, for this world."""
        running: dict[tuple[str, int, tuple[int, ...]], float] = {}
        _, whole = self.follow(text, running)
        found = {"": whole} if whole else {}
        while running:
            (said, at, drawn), chance = running.popitem()
            step = self._steps[at]
            blank = re.search(r"(?<=\S) ", text[-1:] + said)
            if blank:
                way = said[: blank.end() - len(text[-1:])]
                found[way] = found.get(way, 0.0) + chance
            elif type(step) is _End:
                found[said] = found.get(said, 0.0) + chance
            else:
                for more, target, now, share in self._next(step, at, drawn):
                    there = (said + more, target, now)
                    running[there] = running.get(there, 0.0) + chance * share
        return found

    @staticmethod
    def _next(step, at: int, drawn: tuple[int, ...]) -> Iterator[tuple[str, int, tuple[int, ...], float]]:
        """What a step may say, the step after it, the words drawn then, and the chance of it."""
        if type(step) is _Fork:
            for target in step.targets:
                yield "", target, drawn, 1 / len(step.targets)
        else:
            for said, now, share in _sayings(step, drawn, ""):
                yield said, at + 1, now, share


def _sayings(step: _Text | _Word, drawn: tuple[int, ...], letter: str) -> Iterator[tuple[str, tuple, float]]:
    """What a step may say that starts with this letter ("": any), the words drawn then, and the chance."""
    if type(step) is _Text:
        yield step.said, drawn, 1.0
    elif drawn[step.variable] >= 0:
        yield step.forms[drawn[step.variable]], drawn, 1.0
    else:
        taken = {drawn[rival] for rival in step.rivals} - {-1}
        share = 1 / (len(step.forms) - len(taken))
        for item, said in enumerate(step.forms):
            if said.startswith(letter) and item not in taken:
                yield said, (*drawn[: step.variable], item, *drawn[step.variable + 1 :]), share


def _agreement(text: str, place: int, said: str) -> int:
    """How many characters the text from `place` on has in common with the beginning of `said`."""
    if text.startswith(said, place):
        return len(said)
    n = 0
    while place + n < len(text) and text[place + n] == said[n]:
        n += 1
    return n


# ---------------------------------------------------------------- reading and compiling


def compile_world(source: str, start: str, first: int | None = None) -> Program:
    """The program of a world written in the notation of `stories.txt`, from the rule `start`.

    With `first`, only that many words from the beginning of each list are used.

    Raises: CorpusError that names what is missing, malformed, or a rule within itself.
    """
    compiler = _Compiler(_World(source), first)
    compiler.rule(start, ())
    compiler.steps.append(_End())
    for name, rivals in compiler.rivals.items():
        if len(rivals) > len(compiler.items(name)):
            raise CorpusError(f"The story world needs {len(rivals)} different words in its list {name!r}.")
    return Program(compiler.steps, len(compiler.variables))


class _World:
    """The lists and rules of a world's text; the notation is explained at the top of `stories.txt`."""

    def __init__(self, source: str):
        self.lists: dict[str, list[dict[str, str]]] = {}  # name -> items; an item maps a form to what is said
        self.rules: dict[str, list[list[str]]] = {}  # name -> slots, one after another -> ways to say it
        source = re.sub(r"^#.*\n?", "", source, flags=re.MULTILINE)
        for head, body in re.findall(r"^\[(.+)\]\n((?:(?!\[).*\n?)*)", source, flags=re.MULTILINE):
            kind, name, rest = re.fullmatch(r"(list|rule|) ?(\w*)(.*)", head).groups()
            rest = re.findall(r"\w+", rest)
            if kind == "rule":
                self.rules[name] = [slot.splitlines() for slot in re.split(r"\n\s*\n", body.strip())]
            elif kind == "list" and "|" in head:
                self.lists.setdefault(name, []).extend(self._rows(body, rest))
            elif kind == "list" and set(rest) <= set(_PRONOUNS):
                pronouns = _PRONOUNS[rest[0]] if rest else {}
                words = [word.strip() for word in body.replace("\n", " ").split(",")]
                self.lists.setdefault(name, []).extend(_item(word) | pronouns for word in words if word)
            else:
                raise CorpusError(f"The story world has a heading [{head}], which is no list and no rule.")

    @staticmethod
    def _rows(body: str, columns: list[str]) -> Iterator[dict[str, str]]:
        for line in filter(str.strip, body.splitlines()):
            word, *cells = (cell.strip() for cell in line.split("|"))
            if len(cells) != len(columns) or not all([word, *cells]):
                raise CorpusError(f"The story world needs a word and {len(columns)} more in this row: {line}")
            yield _item(word) | dict(zip(columns, cells, strict=True))


def _item(word: str) -> dict[str, str]:
    """The forms every word has: itself (under ""), with its article, and plural."""
    word, _, many = word.partition("/")
    article = "an" if word[0] in "aeiou" and not word.startswith(_VOWELS_ONLY_IN_WRITING) else "a"
    if re.search(r"[^aeiou]y$", word):
        regular = word[:-1] + "ies"
    else:
        regular = word + ("es" if re.search(r"(s|x|ch|sh)$", word) else "s")
    return {"": word, "a": f"{article} {word}", "many": many or regular}


class _Compiler:
    """Writes rules out as steps, anew wherever a rule is used: a program without calls needs no stack."""

    def __init__(self, world: _World, first: int | None):
        self.world = world
        self.first = first
        self.steps: list[_Text | _Word | _Fork | _End] = []
        self.variables: dict[str, int] = {}  # "child2" -> its number
        self.rivals: dict[str, list[int]] = {}  # "child" -> the numbers of child, child2, ...

    def items(self, name: str) -> list[dict[str, str]]:
        """The items of a list that are in use."""
        return self.world.lists.get(name, [])[: self.first]

    def rule(self, name: str, inside: tuple[str, ...]) -> None:
        """The steps of a rule, slot after slot; `inside` are the rules that this one stands in."""
        if name not in self.world.rules or name in inside:
            problem = "contains itself" if name in inside else "does not exist"
            raise CorpusError(f"In the story world, the rule {name!r} {problem}. Check [rule ...] and <...>.")
        for i, ways in enumerate(self.world.rules[name]):
            self.fork([" " * (i > 0) + way for way in ways], (*inside, name))

    def fork(self, ways: list[str], inside: tuple[str, ...]) -> None:
        """One of several ways; with a single one there is nothing to choose."""
        if len(ways) == 1:
            self.text(ways[0], inside)
            return
        starts: list[int] = []
        jumps: list[_Fork] = []
        self.steps.append(_Fork(starts))
        for way in ways:
            starts.append(len(self.steps))
            self.text(way, inside)
            jumps.append(_Fork([]))  # to behind the last way, which is known only then
            self.steps.append(jumps[-1])
        for jump in jumps:
            jump.targets.append(len(self.steps))

    def text(self, way: str, inside: tuple[str, ...]) -> None:
        """The steps of a line: plain text, {words}, <rules> and (alternatives), from left to right."""
        pieces = re.findall(r"([^{<(]+)|\{(.+?)\}|<(.+?)>|\((.+?)\)|(.)", way)
        for plain, word, rule, ways, stray in pieces:
            if plain:
                self.steps.append(_Text(plain))
            elif word:
                self.word(word)
            elif rule:
                self.rule(rule, inside)
            elif ways:
                self.fork(ways.split("|"), inside)
            else:
                raise CorpusError(f"The story world never closes the {stray} in this line: {way.strip()}")

    def word(self, written: str) -> None:
        """The step of a {word}: what it says for each item of its list, in the form and case written."""
        form, _, variable = written.lower().rpartition(" ")
        name = variable.rstrip("0123456789")
        if name in _PRONOUNS["they"]:  # {them2} is short for {them child2}
            form, name, variable = name, "child", "child" + variable.removeprefix(name)
        items = self.items(name)
        if not items or not all(form in item for item in items):
            raise CorpusError(f"The story world has no words for {{{written}}}. Check its [list {name}].")
        forms = [item[form] for item in items]
        if written[0].isupper():
            forms = [said[0].upper() + said[1:] for said in forms]
        number = self.variables.setdefault(variable, len(self.variables))
        rivals = self.rivals.setdefault(name, [])
        if number not in rivals:
            rivals.append(number)
        self.steps.append(_Word(number, forms, rivals))
