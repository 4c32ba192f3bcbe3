"""The Differentiable Mixing Console: what is particular to it."""

import pytest
import torch

from graphmix.errors import GraphError
from graphmix.graph.mixgraph import MixGraph
from graphmix.models.mixing.dmc import DMC, DMCConfig
from graphmix.models.mixing.outputs import KEPT_LOGIT
from graphmix.models.mixing.stems import Stems
from graphmix.processors import Rack
from tests.models.small_stems import RATE, TINY, gains_by_track, make_stems, shake, tone


def dmc(chain: str = "g", rack: Rack | None = None, **more: object) -> DMC:
    torch.manual_seed(3)
    model = DMC(DMCConfig(chain=chain, hidden=8, **{**TINY, **more}), rack)
    shake(model)
    return model.eval()


def proposal(model: DMC, stems: Stems) -> MixGraph:
    graph = model(stems)
    assert isinstance(graph, MixGraph)
    return graph


def test_the_topology_is_fixed() -> None:
    graph = proposal(dmc("ege"), make_stems(2))
    letters = [graph.type_of(node).letter for node in range(graph.num_nodes)]
    assert letters == list("iiegeegeo")
    assert graph.num_edges == 8


def test_training_and_evaluation_give_the_same_graph_for_nothing_is_dropped() -> None:
    model, stems = dmc("gs"), make_stems(3)
    soft = model.console(stems)
    assert isinstance(soft, MixGraph)
    assert torch.equal(soft.wet, proposal(model, stems).wet)
    outputs = model.outputs([stems])
    assert (outputs.keep_logit[outputs.node_type >= 3] == KEPT_LOGIT).all()
    assert torch.tensor(KEPT_LOGIT).sigmoid() == 1


def test_parameters_are_the_mlp_of_embedding_and_mean_context() -> None:
    model, stems = dmc("gs"), make_stems(3)
    song = model.embed([stems])[0]
    graph = proposal(model, stems)
    rows = {graph.names[node]: row for row, node in enumerate(graph.nodes_of("in").tolist())}
    for track, embedding in zip(song.names, song.tracks, strict=True):
        outputs = model.post_processor(torch.cat([embedding, song.tracks.mean(0)])[None])
        limited = 8 * torch.tanh(outputs[:, 1:3] / 8)
        expected = model.basis.decode("gain", limited)
        assert torch.allclose(graph.params["gain"][rows[track]], expected[0], atol=1e-3)
        limited = 8 * torch.tanh(outputs[:, 4:5] / 8)
        expected = model.basis.decode("imager", limited)
        assert torch.allclose(graph.params["imager"][rows[track]], expected[0], atol=1e-3)


def test_the_others_matter_through_the_context_only() -> None:
    model, stems = dmc(), make_stems(3, buses=0)
    before = gains_by_track(proposal(model, stems))
    louder = Stems(stems.audio * torch.tensor([1.0, 1.0, 3.0])[:, None, None], stems.names, RATE)
    after = gains_by_track(proposal(model, louder))
    assert before["track 0"] != pytest.approx(after["track 0"], abs=1e-6)
    outputs = [model.embed([song])[0] for song in (stems, louder)]
    rows = [own.tracks[own.names.index("track 0")] for own in outputs]
    assert torch.allclose(rows[0], rows[1], rtol=1e-4, atol=1e-4)


def test_a_repeated_letter_has_settings_of_its_own() -> None:
    graph = proposal(dmc("gg"), make_stems(2))
    assert graph.params["gain"].shape == (4, 2)
    assert not torch.allclose(graph.params["gain"][0], graph.params["gain"][1])


def test_an_untrained_one_is_not_far_from_the_plain_sum() -> None:
    model, stems = DMC(DMCConfig(chain="g", **TINY)).eval(), make_stems(3)
    with torch.no_grad():
        mix = model.mix(stems)
    plain = stems.audio.sum(0)
    assert float((mix - plain).square().mean() / plain.square().mean()) < 0.03


def test_gain_and_panning_can_be_learnt_from_sound() -> None:
    torch.manual_seed(0)
    audio = torch.stack([tone(200, 0.2), tone(3000, 0.2)])
    gains = torch.tensor([[0.25, 1.0], [1.0, 0.5]])
    stems = Stems(audio, ("low", "high"), RATE, mix=(audio * gains[:, :, None]).sum(0))
    model = DMC(DMCConfig(chain="g", hidden=16, **TINY)).train()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    losses: list[float] = []
    while len(losses) < 150 and (not losses or losses[-1] >= 0.1 * losses[0]):
        optimizer.zero_grad()
        loss = (model.mix(stems) - stems.mix).square().mean()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.1 * losses[0]


def test_a_rack_of_your_own_takes_the_place_of_the_proxy() -> None:
    from graphmix.models.effects.proxy import TCNProxy
    from graphmix.models.effects.tcn import BlockConfig, TCNConfig

    small = TCNConfig(hidden=4, level_times_ms=(10.0,), blocks=(BlockConfig(channels=2, taps=5),))
    proxy = TCNProxy(RATE, small).freeze()
    model, stems = dmc("proxy", Rack([proxy])), make_stems(2)
    graph = proposal(model, stems)
    assert graph.params["proxy"].shape == (2, 10)
    model.train().mix(stems).square().sum().backward()
    assert all(p.grad is None for p in proxy.parameters())
    grads = [p.grad for p in model.post_processor.parameters()]
    assert all(grad is not None and bool(grad.isfinite().all()) for grad in grads)


def test_what_is_no_chain_is_refused() -> None:
    with pytest.raises(GraphError, match="letter 'k'"):
        dmc("gk")
