"""The tree of errors."""

import inspect

from slm_core import errors


def test_every_error_is_an_slm_error_with_a_sentence_about_it():
    classes = [each for _, each in inspect.getmembers(errors, inspect.isclass)]
    assert len(classes) == 7
    for each in classes:
        assert issubclass(each, errors.SlmError) and each.__doc__
