"""Our tokenizers as the `tokenizers` library and llama.cpp write them down: texts by id, and merges.

Two ways of writing cover all four kinds. Bytes, BPE and GPT-2's are lists of merges over bytes, each byte
written as one printable letter; bytes have no merges. Characters are written as themselves, and the bytes
that no character of the list begins as <0x80> to <0xFF>.
"""

from tokenizers import AddedToken, decoders, models, pre_tokenizers, processors
from tokenizers import Tokenizer as Library

from slm_core.errors import TokenizerError
from slm_core.text.gpt2 import letters_to_bytes
from slm_core.text.tokenizer import END_OF_TEXT, BytePairs, Characters, Tokenizer


def token_texts(tokenizer: Tokenizer) -> list[str]:
    """What each id is called, the end mark included; all different."""
    contents = [tokenizer.token_bytes(token) for token in range(tokenizer.end_of_text)]
    if isinstance(tokenizer, Characters):
        return [*map(_character, contents), END_OF_TEXT]
    return [*map(_letters, contents), END_OF_TEXT]


def merges(tokenizer: Tokenizer) -> list[tuple[str, str]]:
    """The two tokens that each merge joins, in the order in which merges are tried; none for tokenizers that
    do not merge. Raises TokenizerError for a list of tokens that no merging makes."""
    if not isinstance(tokenizer, BytePairs):
        return []
    pairs = [tokenizer.merge(number) for number in range(1, tokenizer.merge_count + 1)]
    if any(len(pair) != 2 for pair in pairs):
        raise TokenizerError(
            "The tokenizer of this model was not learned by merging pairs, so other programs cannot use it. "
            "Take a model that was trained here."
        )
    return [(_letters(left), _letters(right)) for left, right in pairs]


def tokenizer_json(tokenizer: Tokenizer) -> str:
    """The file tokenizer.json: an end mark goes before each text, as our models saw it, unless the caller
    adds no special tokens. Raises TokenizerError as `merges` does."""
    vocabulary = {text: token for token, text in enumerate(token_texts(tokenizer))}
    if isinstance(tokenizer, Characters):
        library = Library(models.BPE(vocabulary, [], byte_fallback=True))
        library.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Fuse()])
    else:
        library = Library(models.BPE(vocabulary, merges(tokenizer)))
        library.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
        library.decoder = decoders.ByteLevel()
    library.add_special_tokens([AddedToken(END_OF_TEXT, special=True, normalized=False)])
    library.post_processor = processors.TemplateProcessing(
        single=f"{END_OF_TEXT} $A",
        pair=f"{END_OF_TEXT} $A {END_OF_TEXT} $B",
        special_tokens=[(END_OF_TEXT, tokenizer.end_of_text)],
    )
    return library.to_str()


_LETTERS = {byte: letter for letter, byte in letters_to_bytes().items()}


def _letters(content: bytes) -> str:
    return "".join(map(_LETTERS.__getitem__, content))


def _character(content: bytes) -> str:
    return f"<0x{content[0]:02X}>" if len(content) == 1 and content[0] >= 0x80 else content.decode()
