"""Other names for our weights: every one of them is there, once, with zeros beside it."""

from slm_core.runs.export_weights import renamed
from tests.runs.test_export import made_model

BLOCK = {
    name: f"b{{}}.{name}"
    for name in ("norm_1", "attention.qkv", "attention.out", "norm_2", "widen", "narrow")
}


def test_all_weights_come_under_their_new_names_with_biases_of_zeros(tmp_path):
    model = made_model(tmp_path, positions="learned").model
    whole = {"embedding": "e", "position_embedding": "p", "norm": "n"}
    found = renamed(model, BLOCK, whole)
    weights = {name: weight for name, weight in found.items() if name.endswith(".weight")}
    biases = {name: weight for name, weight in found.items() if name.endswith(".bias")}
    assert sum(each.numel() for each in weights.values()) == sum(each.numel() for each in model.parameters())
    assert (found["b1.widen.weight"] == model.blocks[1].widen.weight).all()
    assert len(biases) == 2 * 6 + 1 and not any(each.any() for each in biases.values())
    assert biases["b0.attention.qkv.bias"].shape == (3 * 32,)


def test_a_part_that_the_model_has_not_is_left_out(tmp_path):
    model = made_model(tmp_path, positions="rotary").model
    assert set(renamed(model, {}, {"norm": "n", "position_embedding": "p"})) == {"n.weight", "n.bias"}
