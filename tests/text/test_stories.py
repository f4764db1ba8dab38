"""The story world: its probabilities against full enumeration, its English against rules, its lengths."""

import math
import random
import re
from itertools import islice, pairwise, permutations
from statistics import fmean, stdev

import pytest

from slm_core.errors import CorpusError
from slm_core.text import stories
from slm_core.text.tokenizer import train_bpe

# A world small enough to write out all of its texts by hand. It says some of them in several ways ("a fox" is
# drawn or written out), and draws {pet} early or late.
SMALL_WORLD = """
[list child she]
Ana
[list child they]
Bo
[list pet | cried]
fox | yapped
owl | hooted
ox/oxen | mooed
[rule start]
{Child} saw {a pet}.
{Child} saw a fox.
{Child2} saw {a pet} and {a pet2}.

<end>
{They} {were} (glad|sad|glad).
[rule end]
The {pet} {cried pet}.
Two {many pet2} (|and {a pet} )came.
"""


def small_world() -> dict[str, float]:
    """Every text of SMALL_WORLD and its probability, by plain loops over all choices."""
    cries = {"fox": "yapped", "owl": "hooted", "ox": "mooed"}
    many = {"fox": "foxes", "owl": "owls", "ox": "oxen"}
    article = {"fox": "a fox", "owl": "an owl", "ox": "an ox"}
    texts: dict[str, float] = {}
    for child, they_were in (("Ana", "She was"), ("Bo", "They were")):
        other_they_were = "They were" if child == "Ana" else "She was"  # {child2} leaves one child for {they}
        for pet, pet2, _ in permutations(cries):
            chance = 1 / 2 / 6 / 3 / 2
            for first, they in (
                (f"{child} saw {article[pet]}.", they_were),
                (f"{child} saw a fox.", they_were),
                (f"{child} saw {article[pet]} and {article[pet2]}.", other_they_were),
            ):
                for second, share in (
                    (f"The {pet} {cries[pet]}.", 1 / 2),
                    (f"Two {many[pet2]} came.", 1 / 4),
                    (f"Two {many[pet2]} and {article[pet]} came.", 1 / 4),
                    (f"{they} glad.", 2 / 3),
                    (f"{they} sad.", 1 / 3),
                ):
                    text = f"{first} {second}"
                    texts[text] = texts.get(text, 0.0) + chance * share
    return texts


@pytest.fixture(scope="module")
def program() -> stories.Program:
    return stories.compile_world(SMALL_WORLD, "start")


def drawn(size: str, seed: int, n: int) -> list[str]:
    return list(islice(stories.draw(size, seed), n))


def shared(a: str, b: str) -> int:
    """Length of the beginning that two texts share."""
    return next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))


# ---------------------------------------------------------------- probabilities


def test_probability_of_every_text_equals_full_enumeration(program):
    texts = small_world()
    assert math.isclose(sum(texts.values()), 1.0)
    for text, chance in texts.items():
        assert math.isclose(program.follow(text)[1], chance), text


def test_probability_of_every_beginning_equals_the_sum_over_its_texts(program):
    texts = small_world()
    for text in texts:
        begins, _ = program.follow(text)
        expected = [sum(p for t, p in texts.items() if t.startswith(text[:i])) for i in range(len(text) + 1)]
        assert begins == pytest.approx(expected)


def test_ways_to_go_on_and_their_chances_are_those_of_full_enumeration(program):
    texts = small_world()
    for beginning in {text[:end] for text in texts for end in range(len(text) + 1)} | {"Ann", "x", "Ana  "}:
        ways: dict[str, float] = {}
        for text, chance in texts.items():
            if text.startswith(beginning):
                more = text[len(beginning) :]
                blank = re.search(r"(?<=\S) ", beginning[-1:] + more)
                way = more[: blank.end() - len(beginning[-1:])] if blank else more
                ways[way] = ways.get(way, 0.0) + chance
        assert program.continuations(beginning) == pytest.approx(ways)


@pytest.mark.parametrize("size", stories.SIZES)
def test_the_ways_to_go_on_add_up_to_the_beginning(size):
    text = drawn(size, 8, 1)[0]
    logs = stories.prefix_log_probabilities(text, size)
    for end in range(0, len(text) + 1, 7):
        ways = stories.continuations(text[:end], size)
        assert math.log(sum(ways.values())) == pytest.approx(logs[end], abs=1e-9)
        assert any((text + " ").startswith(text[:end] + way.rstrip(" ")) for way in ways)


def test_whatever_is_no_text_of_the_small_world_breaks_where_its_longest_beginning_ends(program):
    texts = small_world()
    wrong = [t[:i] + letter + t[i:] for t in list(texts)[::5] for i in range(len(t) + 1) for letter in "ax ."]
    for text in wrong:
        begins, whole = program.follow(text)
        assert len(begins) - 1 == max(shared(text, other) for other in texts)
        assert whole == pytest.approx(texts.get(text, 0.0))


def test_texts_are_drawn_as_often_as_their_probability_says(program):
    texts, n, generator = small_world(), 20_000, random.Random(5)
    counts = dict.fromkeys(texts, 0)
    for _ in range(n):
        text, log_probability = program.sample(generator)
        counts[text] += 1
        assert math.exp(log_probability) <= texts[text] * (1 + 1e-9)  # one derivation of perhaps several
    squares = sum((counts[t] - n * p) ** 2 / (n * p) for t, p in texts.items())
    degrees = len(texts) - 1
    assert squares < degrees + 5 * math.sqrt(2 * degrees)  # chi-squared, five standard deviations


@pytest.mark.parametrize("size", stories.SIZES)
def test_the_score_of_a_drawn_story_is_at_least_the_derivation_that_drew_it(size):
    program = stories._program(size)
    generator = random.Random(11)
    for _ in range(200):
        text, log_probability = program.sample(generator)
        assert stories.score(text, size).log_probability >= log_probability - 1e-9


def test_chances_that_can_be_counted_by_hand():
    texts = drawn("stories", 1, 4000)
    names = {match[1] for text in texts if (match := re.match(r"Once there was a child called (\w+)", text))}
    opening = "Once there was a child called "
    logs = stories.prefix_log_probabilities(opening + "Zoe who loved", "stories")
    assert logs[len("Once")] == pytest.approx(math.log(1 / 5))  # one of five openings
    assert logs[len(opening)] == pytest.approx(math.log(1 / 5))
    assert logs[-1] == pytest.approx(math.log(1 / 5 / len(names)))


@pytest.mark.parametrize("size", stories.SIZES)
def test_mean_surprise_of_two_independent_sets_agrees(size):
    a, b = ([-stories.score(t, size).log_probability for t in drawn(size, seed, 600)] for seed in (3, 4))
    error = math.sqrt((stdev(a) ** 2 + stdev(b) ** 2) / 600)
    assert abs(fmean(a) - fmean(b)) < 4 * error
    low, high = {"tales": (18, 24), "stories": (60, 78)}[size]
    assert low < fmean(a) < high


@pytest.mark.parametrize("size", stories.SIZES)
def test_surprise_falls_along_a_story_and_ends_at_its_own(size):
    for text in drawn(size, 5, 50):
        logs = stories.prefix_log_probabilities(text, size)
        assert len(logs) == len(text) + 1
        assert logs[0] == 0.0
        assert all(later <= earlier for earlier, later in pairwise(logs))
        score = stories.score(text, size)
        assert score.possible
        assert score.first_impossible is None
        assert logs[-1] >= score.log_probability - 1e-9


@pytest.mark.parametrize("size", stories.SIZES)
def test_choices_cover_the_text_and_add_up_to_its_surprise(size):
    for text in drawn(size, 6, 50):
        found = stories.choices(text, size)
        assert "".join(text[choice.start : choice.end] for choice in found) == text
        total = -stories.prefix_log_probabilities(text, size)[-1]
        assert sum(choice.nats for choice in found) == pytest.approx(total)


# ---------------------------------------------------------------- what is impossible


def test_a_name_or_day_recalled_wrongly_is_impossible_at_exactly_that_place():
    checked = 0
    for text in drawn("stories", 7, 300):
        for recalled, others in (
            (r"That night (\w+) fell asleep", ("Zoe", "Bea", "Kofi", "Talia", "Tariq")),
            (r"It was the best (\w+) of", ("Monday", "Tuesday", "Thursday", "Saturday", "Sunday")),
        ):
            if match := re.search(recalled, text):
                start, end = match.span(1)
                for other in set(others) - {match[1]}:
                    wrong = text[:start] + other + text[end:]
                    score = stories.score(wrong, "stories")
                    assert not score.possible
                    assert score.log_probability == -math.inf
                    assert score.first_impossible == start + shared(match[1], other)
                    checked += 1
    assert checked > 200


def test_a_beginning_is_not_a_story_and_not_impossible():
    (text,) = drawn("stories", 8, 1)
    for end in range(len(text)):
        assert stories.score(text[:end], "stories") == stories.Score(-math.inf, False, None)


def test_nothing_is_possible_behind_a_whole_story():
    for text in drawn("tales", 9, 20):
        for more in (" ", "\n", " The end.", text):
            score = stories.score(text + more, "tales")
            assert (score.possible, score.first_impossible) == (False, len(text))


FOREIGN = ["\0", "\ud800", "日本語", "é", " Once", "once", "🙂 Once", "\n" * 9, "x" * 10**6]


@pytest.mark.parametrize("text", FOREIGN)
@pytest.mark.parametrize("size", stories.SIZES)
def test_foreign_text_is_impossible_from_its_first_character(text, size):
    assert stories.score(text, size) == stories.Score(-math.inf, False, 0)
    assert stories.prefix_log_probabilities(text, size) == [0.0] + [-math.inf] * len(text)
    assert stories.choices(text, size) == [stories.Choice(0, len(text), math.inf)]


def test_the_empty_text_begins_every_story():
    assert stories.score("", "tales") == stories.Score(-math.inf, False, None)
    assert stories.prefix_log_probabilities("", "tales") == [0.0]
    assert stories.choices("", "tales") == []


def test_an_impossible_ending_is_one_choice_of_infinite_surprise():
    (text,) = drawn("tales", 10, 1)
    wrong = text[:-1] + "s, and so on."
    found = stories.choices(wrong, "tales")
    assert wrong[found[-1].start : found[-1].end].split()[-3:] == ["and", "so", "on."]
    assert found[-1].nats == math.inf
    assert all(choice.nats < math.inf for choice in found[:-1])


# ---------------------------------------------------------------- drawing


def test_a_seed_draws_the_same_row_again_and_another_seed_another():
    assert drawn("stories", 1, 20) == drawn("stories", 1, 20)
    assert not set(drawn("stories", 1, 200)) & set(drawn("stories", 2, 200))


@pytest.mark.parametrize("size", stories.SIZES)
def test_20000_texts_are_all_different(size):
    assert len(set(drawn(size, 12, 20_000))) == 20_000


def test_no_story_repeats_even_where_repeats_are_not_skipped():
    program, generator = stories._program("stories"), random.Random(13)
    assert len({program.sample(generator)[0] for _ in range(20_000)}) == 20_000


def test_the_world_has_many_words_and_tales_use_the_same_ones():
    words = {
        size: {word for text in drawn(size, 14, 8000) for word in re.findall(r"[a-z]+", text.lower())}
        for size in stories.SIZES
    }
    assert len(words["stories"]) >= 1100
    assert len(words["tales"] - words["stories"]) <= 10


@pytest.mark.parametrize(
    ("size", "vocab_size", "context", "mean_tokens"),
    [("tales", 1024, 64, (35, 50)), ("stories", 1024, 256, (140, 200))],
)
def test_every_text_fits_its_context_with_an_end_mark(size, vocab_size, context, mean_tokens):
    tokenizer = train_bpe(drawn(size, 1, 3000), vocab_size)
    lengths = [len(tokenizer.encode(text)) for text in drawn(size, 15, 5000)]
    assert max(lengths) < context
    assert mean_tokens[0] < fmean(lengths) < mean_tokens[1]


# ---------------------------------------------------------------- English


@pytest.fixture(scope="module")
def texts() -> list[str]:
    return drawn("stories", 16, 2000) + drawn("tales", 16, 2000)


def test_signs_and_capitals(texts):
    for text in texts:
        assert text.isascii(), text
        assert text == " ".join(text.split()), text
        assert text[0].isupper(), text
        assert re.search(r"[.!?]\"?\Z", text), text
        assert text.count('"') % 2 == 0, text
        assert not re.search(r" [,.!?;:]|[,.!?;:]{2}|[{}<>()|_\[\]]", text), text
        assert not re.search(r"[.!?] [a-z]|\.\" [a-z]", text), text  # but: "Oh my!" said Kai
        assert not re.search(r"\b([Tt]he|a|an|in|at|and|some|of|to) \1\b", text), text


def test_articles(texts):
    for text in texts:
        for article, word in re.findall(r"\b([Aa]n?) (\w+)", text):
            starts_with_vowel = word[0] in "aeiou" and word != "ukulele"
            assert (article.lower() == "an") == starts_with_vowel, text


def test_counted_things_are_plural(texts):
    numbers = "three|four|five|six|seven|eight|nine|ten|eleven|twelve"
    for text in texts:
        for thing in re.findall(rf"(?i)\b(?:{numbers}) (?:more |muddy |little |bow )?([a-z]+)", text):
            assert thing.endswith("s") or thing in {"mice", "geese"}, text


HER = (
    r"Maya|Nora|Zoe|Rosa|Jia|Amina|Bea|Chloe|Dalia|Freya|Hana|Ines|Leila|Olga|Priya|Sana|Talia"
    r"|Grandma|Aunt|Adaeze|Yoko|Ingrid"
)
HIM = (
    r"Omar|Ivan|Kofi|Hugo|Ravi|Arjun|Bilal|Carlos|Diego|Emil|Felix|Jamal|Liam|Niko|Pablo|Sven|Tariq"
    r"|Grandpa|Uncle|Pavel|Hassan|Minh"
)


def test_verbs_and_pronouns_agree(texts):
    for text in texts:
        assert not re.search(r"\b(they|we|you) was\b|\b(he|she|it) were\b", text, re.IGNORECASE), text
        for she, people in ((r"\b(she|her)\b", HER), (r"\b(he|him|his)\b", HIM)):
            if re.search(she, text, re.IGNORECASE):
                assert re.search(people, text), text


# ---------------------------------------------------------------- mistakes


@pytest.mark.parametrize(
    "call", [stories.score, stories.prefix_log_probabilities, stories.continuations, stories.choices]
)
def test_an_unknown_size_is_named_with_what_is_allowed(call):
    with pytest.raises(CorpusError, match=r"'sagas'.*tales, stories"):
        call("text", "sagas")
    with pytest.raises(CorpusError, match=r"'sagas'.*tales, stories"):
        stories.draw("sagas", seed=1)


@pytest.mark.parametrize(
    ("source", "named"),
    [
        ("[rule s]\nhello <there>", "there"),
        ("[rule s]\nagain <s>", "contains itself"),
        ("[rule s]\n{a toy}", "a toy"),
        ("[list toy]\nball\n[rule s]\n{next toy}", "next toy"),
        ("[list toy]\nball, box\n[rule s]\n{toy} {toy2} {toy3}", "3 different words"),
        ("[list pet | cried]\ncat\n[rule s]\n{pet}", "cat"),
        ("[list child them]\nAna\n[rule s]\n{child}", "list child them"),
        ("[story s]\nhello", "story s"),
        ("[rule s]\nhello {toy", "hello {toy"),
    ],
)
def test_a_mistake_in_a_world_is_named(source, named):
    with pytest.raises(CorpusError, match=re.escape(named)):
        stories.compile_world(source, "s")
