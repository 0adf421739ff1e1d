"""The model against torch's own transformer layers, and against itself without padding."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from clvq import ArtifactError, ClvqError, ClvqVae
from clvq.models.decoder import Attention, CodeBlock, Layout, MemoryBlock

D, E, K, HEADS = 16, 12, 10, 4


def make(**settings: object) -> ClvqVae:
    torch.manual_seed(0)
    model = ClvqVae(D, E, codebook_size=K, decoder_heads=HEADS, feed_forward=32, **settings)  # type: ignore[arg-type]
    model.quantizer.set_codebook(torch.randn(K, D))
    model.input_scale.fill_(1.7)
    model.output_scale.fill_(0.4)
    return model.eval()


def sentences() -> tuple[torch.Tensor, torch.Tensor]:
    """[B, T, D] and a mask with padding on either side, holes, and one sentence without a row."""
    mask = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 0, 0, 0], [0, 0, 1, 1, 1], [1, 0, 1, 0, 1], [0, 0, 0, 0, 0]]).bool()
    return torch.randn(5, 5, D, generator=torch.Generator().manual_seed(1)), mask


@pytest.mark.parametrize("memory", ["quantized", "encoder"])
def test_padding_changes_nothing(memory: str) -> None:
    model = make(decoder_memory=memory)
    hidden, mask = sentences()
    output = model(hidden, mask)
    poisoned = model(hidden.masked_fill(~mask[:, :, None], float("nan")), mask)
    for one, other in zip(output, poisoned, strict=True):
        assert torch.equal(one, other)
    assert (output.indices[~mask] == -1).all()
    assert (output.prediction[~mask] == 0).all()
    for number in range(4):
        alone = model(hidden[number][mask[number]][None])
        torch.testing.assert_close(alone.prediction[0], output.prediction[number][mask[number]])
        assert torch.equal(alone.indices[0], output.indices[number][mask[number]])
    assert torch.equal(model.assign(hidden, mask), output.indices)


def test_encode_quantize_decode_make_up_the_pass() -> None:
    model = make()
    hidden, mask = sentences()
    output = model(hidden, mask)
    z_e = model.encode(hidden)
    z_q, indices = model.quantize(z_e, mask)
    torch.testing.assert_close(z_q[mask], model.codebook[indices[mask]])
    torch.testing.assert_close(model.decode(z_q, mask), output.prediction)
    nearest = torch.cdist(z_e[mask].double(), model.codebook.double()).argmin(dim=1)
    assert torch.equal(indices[mask], nearest)


def test_only_codes_reach_a_strict_decoder() -> None:
    """Two inputs with the same codes give the same prediction; with the published wiring they do not."""
    hidden, mask = sentences()
    nudged = hidden + 1e-3 * torch.randn_like(hidden)
    for memory, same in (("quantized", True), ("encoder", False)):
        model = make(decoder_memory=memory)
        one, other = model(hidden, mask), model(nudged, mask)
        assert torch.equal(one.indices, other.indices)
        assert torch.equal(one.prediction, other.prediction) == same


def test_the_encoder_starts_close_to_its_input() -> None:
    model = make()
    hidden, _ = sentences()
    x = hidden * 1.7
    mix = 0.5 / (1 + 2.718281828**-0.2)
    normed = (x - x.mean(-1, keepdim=True)) / (x.var(-1, unbiased=False, keepdim=True) + 1e-5).sqrt()
    torch.testing.assert_close(model.encode(hidden), (1 - mix) * x + mix * normed)


def copy_attention(ours: Attention, theirs: nn.MultiheadAttention) -> None:
    with torch.no_grad():
        theirs.in_proj_weight.copy_(torch.cat([ours.query.weight, ours.key_value.weight]))
        theirs.in_proj_bias.copy_(torch.cat([ours.query.bias, ours.key_value.bias]))
        theirs.out_proj.load_state_dict(ours.output.state_dict())


@pytest.mark.parametrize("cross", [False, True])
def test_blocks_equal_torchs_layers(cross: bool) -> None:
    torch.manual_seed(0)
    block = (MemoryBlock if cross else CodeBlock)(D, HEADS, 32, 0.0).eval()
    hidden, mask = sentences()
    hidden, mask = hidden[:4], mask[:4]
    memory = torch.randn_like(hidden)
    layout = Layout.of_mask(mask)
    ours = block(hidden[mask], layout, *([memory[mask]] if cross else []))
    if cross:
        layer: nn.Module = nn.TransformerDecoderLayer(D, HEADS, 32, 0.0, batch_first=True)
        copy_attention(block.cross_attention, layer.multihead_attn)  # type: ignore[arg-type]
        norms = [block.attention_norm, block.cross_norm, block.feed_forward_norm]
    else:
        layer = nn.TransformerEncoderLayer(D, HEADS, 32, 0.0, batch_first=True, norm_first=True)
        norms = [block.attention_norm, block.feed_forward_norm]
    copy_attention(block.attention, layer.self_attn)  # type: ignore[arg-type]
    layer.linear1.load_state_dict(block.expand.state_dict())  # type: ignore[union-attr]
    layer.linear2.load_state_dict(block.contract.state_dict())  # type: ignore[union-attr]
    for number, norm in enumerate(norms, 1):
        getattr(layer, f"norm{number}").load_state_dict(norm.state_dict())  # type: ignore[union-attr]
    layer.train()  # torch's fast path for inference has other rounding
    if cross:
        theirs = layer(hidden, memory, tgt_key_padding_mask=~mask, memory_key_padding_mask=~mask)
    else:
        theirs = layer(hidden, src_key_padding_mask=~mask)
    torch.testing.assert_close(ours, theirs[mask])


def test_a_saved_model_comes_back(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = make(decoder_layers=1)
    model.save_pretrained(tmp_path / "m")
    hidden, mask = sentences()
    again = ClvqVae.from_pretrained(tmp_path / "m")
    assert torch.equal(again(hidden, mask).prediction, model(hidden, mask).prediction)
    assert not again.training
    assert capsys.readouterr().out == ""
    weights = tmp_path / "m" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:200])
    with pytest.raises(ArtifactError, match=r"model\.safetensors"):
        ClvqVae.from_pretrained(tmp_path / "m")


def test_wrong_shapes_are_explained() -> None:
    hidden, mask = sentences()
    with pytest.raises(ClvqError, match="mask"):
        make()(hidden, mask[:, :3])
    with pytest.raises(ClvqError, match="needs z_e"):
        make(decoder_memory="encoder").decode(hidden, mask)
    with pytest.raises(ClvqError, match="divisible"):
        ClvqVae(10, 10, decoder_heads=4)
