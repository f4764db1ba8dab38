"""Data: what does the model read?"""

import streamlit as st

from pages import PAGES
from pages.ui import controls, downloads, reading, shelf, text_view, words, world
from pages.ui.live_chart import live_chart
from slm_core.errors import SlmError
from slm_core.figures import length_figure
from slm_core.text.statistics import length_histogram

st.title("Data", anchor=False)
st.markdown(
    "What does the model read? It knows nothing but its text. A part of the text is **held out**: the model "
    "never trains on it, so that part shows what was understood and not only learned by heart."
)

source, found = shelf.choose(), None
if source is not None:
    try:
        found = shelf.open_whole(source)
        report = shelf.report(source)
    except SlmError as error:
        found = None
        st.error(words.plain(str(error)))

if found is not None:
    description = found.description
    size, block_size = controls.value("dataset_size"), controls.value("block_size")
    with st.container(horizontal=True, gap="medium"):
        st.metric("Documents", f"{len(description.train):,}", help="To train on.", border=True)
        st.metric("Held out", f"{len(description.validation):,}", help="Documents to test on.", border=True)
        st.metric("Tokens", words.compact(description.tokens), help="To train on.", border=True)
        st.metric(
            "Different words",
            f"{description.word_types:,}",
            help="The commonest: " + ", ".join(words.plain(word) for word, _ in description.commonest),
            border=True,
        )
    if source.endless:
        st.caption(
            f"The story world never ends: these are its first {words.compact(description.tokens)} tokens, "
            "and all that is held out. No story stands on both sides."
        )
    elif source.corpus == "own":
        st.caption(
            f"{found.duplicates:,} repeated documents were dropped before the text was divided. Of the words "
            f"held out, {description.unseen_words:.1%} never occur in the training text."
        )
    if st.button("Train on this text", icon=":material/play_arrow:"):
        shelf.use(source)
        st.switch_page(PAGES / "learn/train.py", query_params={})  # else it refuses a bound "preset"

    st.subheader("Read it", anchor=False)
    marks = reading.marks(source, description, size)
    reading.sides(source, description, marks)

    st.subheader("How much of it is read", anchor=False)
    if source.name == "repeated":
        st.markdown(f"{size:,} tokens, told again and again, and only then cut in two.")
    elif marks:
        reading.sizes(marks)
    bars = length_histogram(description)
    figure = length_figure(
        edges=bars.edges,
        train_shares=bars.train_shares,
        validation_shares=bars.validation_shares,
        block_size=block_size,
        longer=bars.longer,
    )
    live_chart(figure, height=340, key="lengths", alt="How long the documents are, in tokens.")
    st.caption("Of a document that is longer than block_size, the model never sees all at once.")

    st.subheader("What a test on it can say", anchor=False)
    st.markdown(f"With the dataset_size that is set, {size:,} tokens:")
    if not report.leaks.leaking:
        st.success(report.leaks.sentence, icon=":material/verified:")
    text_view.warn(report)
    text_view.explain(report)

    if source.endless:
        st.subheader("Where is a story uncertain?", anchor=False)
        st.markdown(
            "A program tells these stories, so the chance of every word is known. The deeper the ground, the "
            "more a reader, or a model, has to guess; point at a word for its odds. On average no model can "
            "guess better: what is left to guess here is the lowest loss there is."
        )
        world.draw(source.name, reading.current(source, description))

st.subheader("More texts", anchor=False)
st.markdown("Real texts, fetched when you ask for them. Everything else in this app works without a network.")
downloads.draw()
