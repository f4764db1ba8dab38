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


def test_weights_alone_come_without_biases_and_with_queries_keys_and_values_apart(tmp_path):
    model = made_model(tmp_path, architecture="qwen3").model
    parts = ("norm_1", "attention.q", "attention.k", "attention.v", "attention.norm_q", "attention.norm_k")
    block = {name: f"b{{}}.{name}" for name in (*parts, "attention.out", "norm_2", "gate", "widen", "narrow")}
    found = renamed(model, block, {"embedding": "e", "norm": "n"}, biases=False)
    assert sum(each.numel() for each in found.values()) == sum(each.numel() for each in model.parameters())
    assert len(found) == 2 * len(block) + 2
    together = model.blocks[1].attention.qkv.weight
    for place, letter in enumerate("qkv"):
        assert found[f"b1.attention.{letter}.weight"].equal(together[32 * place : 32 * (place + 1)])
