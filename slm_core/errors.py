"""What can go wrong for a user, each with a sentence that says what was given, what is allowed and what to
do."""


class SlmError(Exception):
    """Base of every error a user can cause; pages and the command line show its text and nothing else."""


class ConfigError(SlmError):
    """A setting, a preset or a settings file that cannot be used. Lists every problem found, not only the
    first."""


class CorpusError(SlmError):
    """A text that cannot be trained on."""


class TokenizerError(SlmError):
    """A tokenizer that cannot be built or read."""


class VocabularyError(TokenizerError):
    """GPT-2's vocabulary is not on this machine, or cannot be fetched. Says how to get it."""


class CheckpointError(SlmError):
    """A model file that is damaged, foreign or does not fit."""


class RunError(SlmError):
    """A run that cannot be started, found or written."""
