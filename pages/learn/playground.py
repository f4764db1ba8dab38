"""Playground: what has the model learned to write?

Streamlit keeps what a widget calls for as long as the visit lasts, and a function of this file keeps all that
is named here, the model too. So widgets call functions of other files.
"""

import streamlit as st

from pages import PAGES
from pages.ui import controls, engine, models, take_home, words, writing
from slm_core.errors import SlmError
from slm_core.model.sampling import SAMPLING_KNOBS, Sampling

st.title("Playground", anchor=False)
st.markdown("What has the model learned to write? Give it a beginning, and it goes on.")

found = {(model.run.id, model.kind): model for model in models.available()}
if not found:
    st.info("There is no model yet. Train one, which takes less than half a minute, or open a model file.")
    st.page_link(PAGES / "learn/train.py", label="Train a model", icon=":material/school:")
    models.bring()
    st.stop()

if wanted := st.session_state.pop("playground_run", None):
    st.session_state["playground_model"] = next((key for key in found if key[0] == wanted), next(iter(found)))
if st.session_state.get("playground_model") not in found:
    st.session_state["playground_model"] = next(iter(found))
model = models.choose(found)
try:
    checkpoint = models.load(model)
except SlmError as error:
    st.error(words.plain(str(error)))
    models.bring()
    st.stop()

metrics = checkpoint.metrics
if "validation_loss" in metrics:
    st.caption(
        f"After step {metrics['step']:,}: training loss {metrics['train_loss']:.2f}, validation loss "
        f"{metrics['validation_loss']:.2f} nats per token."
    )
models.show_proof(checkpoint)

samples = engine.history(model.run).samples
chips = list(dict.fromkeys([sample.prompt for sample in samples.values()] + ["Once upon a time", "One day"]))
st.session_state.setdefault("prompt", chips[0])
prompt = st.text_area("Beginning", key="prompt", height=100, max_chars=4_000, persist_state="session")
with st.container(horizontal=True):
    for chip in chips:
        st.button(words.plain(chip), key=f"chip-{chip}", on_click=writing.ask, args=(chip,))

settings = {}
with st.expander("How it writes"):
    columns = st.columns(2, gap="large")
    for place, (name, knob) in enumerate(SAMPLING_KNOBS.items()):
        with columns[place % 2]:
            settings[name] = controls.control(knob, f"sampling_{name}")

st.button("Write", icon=":material/edit_note:", type="primary", on_click=writing.ask)
if st.session_state.pop("asked_to_write", False):
    try:
        writing.write(checkpoint, model.run, prompt, Sampling(**settings))
    except SlmError as error:
        st.error(words.plain(str(error)))
writing.show_written()

take_home.draw(model, checkpoint.config)
models.bring()
