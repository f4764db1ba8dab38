"""What a model wrote: copied, new and possible, or impossible from some place."""

import json
from itertools import islice

import numpy as np
import pytest

from slm_core.errors import SlmError
from slm_core.study.samples import COPIED, IMPOSSIBLE, POSSIBLE, Verdict, judge, newness, training_texts
from slm_core.text import stories
from slm_core.text.tokenizer import make_tokenizer

READ = tuple(islice(stories.draw("stories", 1), 20))
FRESH = tuple(islice(stories.draw("stories", 2), 20))


@pytest.mark.parametrize("share", [0.2, 0.6, 1.0])
def test_the_beginning_of_a_story_that_was_read_is_copied(share):
    for story in READ:
        assert judge(story[: int(share * len(story))], "stories", READ) == Verdict(COPIED)


def test_a_fresh_story_is_new_and_possible():
    assert {judge(story, "stories", READ).kind for story in FRESH} == {POSSIBLE}


def test_a_story_spoilt_at_one_place_is_impossible_from_there():
    for story in READ:
        place = len(story) // 2
        spoilt = story[:place] + "#" + story[place:]  # a sign that no story has
        assert judge(spoilt, "stories", READ) == Verdict(IMPOSSIBLE, place)


@pytest.mark.parametrize("kind", ["bpe", "bytes"])
def test_training_texts_come_back_from_a_run_folder(tmp_path, kind):
    tokenizer = make_tokenizer(kind, READ, 400)
    ids = tokenizer.encode_documents(READ)
    cut = len(ids) - 10  # as dataset_size cuts a stream, in the middle of its last story
    np.array(ids[:cut], dtype="<u2").tofile(tmp_path / "train.bin")
    (tmp_path / "tokenizer.json").write_text(json.dumps(tokenizer.to_dict()))
    texts = training_texts(tmp_path)
    assert texts[:-1] == READ[:-1]
    assert READ[-1].startswith(texts[-1].rstrip("\ufffd")) and len(texts[-1]) < len(READ[-1])


def test_a_folder_without_a_text_says_so(tmp_path):
    with pytest.raises(SlmError):
        training_texts(tmp_path)


def put(folder, tokenizer, **sides):
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer.to_dict()))
    for name, texts in sides.items():
        np.array(tokenizer.encode_documents(texts), dtype="<u2").tofile(folder / f"{name}.bin")


def test_of_a_copied_text_nothing_is_new_and_of_a_fresh_one_as_much_as_of_held_out_text(tmp_path):
    tokenizer = make_tokenizer("bpe", READ, 400)
    put(tmp_path, tokenizer, train=READ, validation=FRESH)
    copied, fresh = newness(tmp_path, READ[3]), newness(tmp_path, FRESH[3])
    assert {length: share for length, (share, _) in copied.items()} == {2: 0, 4: 0, 8: 0}
    for length, (share, of_others) in fresh.items():
        alone = {tuple(p) for text in READ for p in windows(tokenizer.encode(text), length)}
        passages = [tuple(p) for p in windows(tokenizer.encode(FRESH[3]), length)]
        assert share == pytest.approx(sum(p not in alone for p in passages) / len(passages))
        assert 0 < of_others == copied[length][1]


def windows(ids, length):
    return [ids[start : start + length] for start in range(len(ids) - length + 1)]


def test_a_text_too_short_for_a_length_has_no_share_for_it(tmp_path):
    tokenizer = make_tokenizer("bytes", READ, 400)
    put(tmp_path, tokenizer, train=READ, validation=FRESH)
    assert set(newness(tmp_path, "abc")) == {2}
    with pytest.raises(SlmError):
        newness(tmp_path / "nowhere", "abc")
