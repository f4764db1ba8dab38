"""A trained model as files to take home: ours, and those that other programs open.

A file is made when its button is pressed, for who pressed it, and not before.
"""

from collections.abc import Callable
from pathlib import Path

import streamlit as st

from pages.ui import words
from pages.ui.models import Model
from slm_core.config import ExperimentConfig
from slm_core.runs.formats import FORMATS, cannot_export, expected_bytes, file_stem, reads_otherwise

_HOW = {
    "huggingface": (
        "Unpack it. After `pip install transformers torch`, it writes in Python:",
        "python",
        """\
from transformers import AutoModelForCausalLM, AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained("{stem}")
model = AutoModelForCausalLM.from_pretrained("{stem}")
prompt = tokenizer("Once upon a time", return_tensors="pt")
written = model.generate(**prompt, do_sample=True)[0]
print(tokenizer.decode(written, skip_special_tokens=True))""",
    ),
    "gguf": (
        "llama.cpp writes with it in a terminal. The first two lines need only Python; if you have llama.cpp "
        "already, the last is enough:",
        "bash",
        """\
pip install cyllama
python -m cyllama generate -m {stem}.gguf -c {context} -n {new} -p "Once upon a time"
llama-completion -no-cnv -m {stem}.gguf -c {context} -n {new} -p "Once upon a time\"""",
    ),
    "pt": (
        "The bare weights by name, for your own code:",
        "python",
        """\
import torch

weights = torch.load("{stem}.pt", weights_only=True)
for name, weight in weights.items():
    print(name, tuple(weight.shape))""",
    ),
}


def draw(model: Model, config: ExperimentConfig) -> None:
    """Every kind of file with its size, how to open it, and a button that makes and sends it."""
    st.subheader("Take it home", anchor=False)
    st.download_button(
        f"Download this model ({words.size(model.path.stat().st_size)})",
        data=model.path.read_bytes,
        file_name=f"{model.run.name}-{model.kind}.safetensors",
        mime="application/octet-stream",
        icon=":material/download:",
        on_click="ignore",
    )
    st.caption(
        "Our own file, with all that is known of the model. The button below opens it again, on any machine; "
        'in a terminal, `python -m slm_core generate FILE "Once upon a time"` does.'
    )
    with st.expander("For other programs"):
        for kind in FORMATS:
            with st.container(border=True):
                _format(kind, model, config)


def _format(kind: str, model: Model, config: ExperimentConfig) -> None:
    stem = file_stem(f"{model.run.name}-{model.kind}")
    form, (says, language, code) = FORMATS[kind], _HOW[kind]
    about, button = st.columns([5, 2], vertical_alignment="center")
    about.markdown(f"**{form.title}** · about {words.size(expected_bytes(config)[kind])} · for {form.opens}")
    if refusal := cannot_export(config).get(kind):
        st.caption(words.plain(refusal))
        return
    button.download_button(
        f"Make {form.ending}",
        data=_maker(model.path, kind, stem),
        file_name=f"{stem}{form.ending}",
        mime="application/octet-stream",
        icon=":material/download:",
        on_click="ignore",
        key=f"make-{kind}",
        width="stretch",
    )
    st.caption(says)
    code = code.format(stem=stem, context=config.block_size, new=config.block_size // 2)
    st.code(code, language, wrap_lines=True)
    if note := reads_otherwise(config).get(kind):
        st.caption(words.plain(note))


def _maker(path: Path, kind: str, stem: str) -> Callable[[], bytes]:
    # Reads the model anew: Streamlit keeps this function for as long as the visit lasts.
    def make() -> bytes:
        from slm_core.runs.checkpoint import load_checkpoint
        from slm_core.runs.export import export

        return export(load_checkpoint(path), kind, stem)

    return make
