"""What a model wrote: copied, new and possible, or impossible from some place."""

import json
from itertools import islice

import numpy as np
import pytest

from slm_core.errors import SlmError
from slm_core.study.samples import COPIED, IMPOSSIBLE, POSSIBLE, Verdict, judge, training_texts
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
