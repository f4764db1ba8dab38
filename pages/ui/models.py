"""The models there are to write with: those trained here and those brought as files."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import streamlit as st

from pages.ui import deployment, engine, server, words
from slm_core.errors import CheckpointError, SlmError
from slm_core.runs.limits import largest_file_bytes
from slm_core.runs.store import CHECKPOINTS, Run

if TYPE_CHECKING:
    from slm_core.runs.checkpoint import Checkpoint

_KINDS = {"last": "as training left it", "best": "at its best on new text"}


@dataclass(frozen=True)
class Model:
    """One model file and the run it belongs to."""

    run: Run
    kind: str

    @property
    def path(self) -> Path:
        """Its file."""
        return self.run.folder / CHECKPOINTS[self.kind]

    @property
    def label(self) -> str:
        """How a list names it."""
        kind = "from a file" if self.run.imported else _KINDS[self.kind]
        return f"{self.run.name} · {kind} · {self.run.created:%d %b %H:%M} UTC"


def available() -> list[Model]:
    """All models, those of the latest run first."""
    return [Model(run, kind) for run in engine.visible_runs() for kind in _KINDS if kind in run.checkpoints]


def choose(found: dict[tuple[str, str], Model]) -> Model:
    """Draw where one of these is chosen, and give it; the keys are a run's id and a kind."""
    key = st.selectbox(
        "Model",
        found,
        format_func=lambda each: found[each].label,
        key="playground_model",
        persist_state="session",
    )
    return found[key]


def load(model: Model) -> "Checkpoint":
    """Its checkpoint, ready to write; read once for everybody. Raises CheckpointError."""
    server.wait_until_warm()
    try:
        changed = model.path.stat().st_mtime_ns
    except OSError:
        raise CheckpointError(f"The file of {model.label} is gone. Choose another model.") from None
    return _load(model.path, changed)


@st.cache_resource(max_entries=4, show_spinner="Reading the model …")
def _load(path: Path, changed: int) -> "Checkpoint":
    from slm_core.runs.checkpoint import load_checkpoint

    return load_checkpoint(path)


def show_proof(checkpoint: "Checkpoint") -> None:
    """Draw whether this is the very model that was trained, here or elsewhere."""
    said = words.plain(str(checkpoint.sameness))
    if checkpoint.sameness.broken:
        st.error(said, icon=":material/gpp_bad:")
    else:
        icon = ":material/verified:" if checkpoint.sameness.same else ":material/help:"
        st.caption(f"{icon} {said}")


def bring() -> None:
    """Draw where a model file can be brought; once it is kept, it is the one chosen."""
    if "brought" in st.session_state:
        st.success(st.session_state.pop("brought"))
    if "refused" in st.session_state:
        st.error(words.plain(st.session_state.pop("refused")))
    st.file_uploader(
        "Open a model file",
        type=["safetensors"],
        key="model_file",
        max_upload_size=largest_file_bytes(deployment.limits()) // 1_000_000,
        on_change=_keep,
        help="A .safetensors file downloaded here before. It is checked, and nothing in it is ever run.",
    )


def _keep() -> None:
    file = st.session_state["model_file"]
    if file is None:
        return
    try:
        run = engine.bring(file.getvalue(), file.name)
    except SlmError as error:
        st.session_state["refused"] = str(error)
    else:
        st.session_state["playground_model"] = (run.id, "last")
        st.session_state["brought"] = "The model is here. It is the one chosen now."
