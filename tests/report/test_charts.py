"""The curves of a page against the closed forms of their processors."""

import numpy as np
import pytest
import torch

from graphmix.processors import Rack, Ride
from graphmix.processors.base import Processor
from graphmix.report.chart import Chart, Played
from graphmix.report.charts import charts_of

RATE = 30000


def charts(processor: Processor, wet: float = 1.0, before: torch.Tensor | None = None, **values: object) -> list[Chart]:
    """The charts of one node with these values, neutral where none is given."""
    kind = processor.node_type
    params = kind.neutral()
    for name, value in values.items():
        params[kind.columns(name)] = torch.as_tensor(value, dtype=torch.float32)
    by_name = {p.name: params[kind.columns(p.name)].double().numpy() for p in kind.parameters}
    after = None if before is None else processor.mix(before[None], params[None], torch.tensor([wet]))[0][0]
    return charts_of(Played(processor, params, wet, 10.0, before, after, values=by_name))


def line(chart: Chart, name: str) -> tuple[np.ndarray, np.ndarray]:
    points = next(s.points for s in chart.series if s.name == name)
    return np.array([x for x, _ in points]), np.array([y for _, y in points])


def test_an_equalizer_shows_its_gains_with_the_weight_in_them() -> None:
    (chart,) = charts(Rack.console("e", RATE)["equalizer"], wet=0.5, gain_db=6.0)
    _, gain = line(chart, "gain")
    np.testing.assert_allclose(gain, 20 * np.log10(0.5 * 10 ** (6 / 20) + 0.5), atol=1e-3)
    assert chart.x.log


def test_a_compressor_shows_its_static_curve() -> None:
    chart = charts(Rack.console("c", RATE)["compressor"], threshold_db=-30.0, ratio=3.0, knee_db=0.1)[0]
    level, out = line(chart, "comes out")
    np.testing.assert_allclose(out, np.where(level > -30, -30 + (level + 30) / 3, level), atol=0.05)


def test_a_compressor_shows_the_levels_that_came_in_and_what_it_took_off() -> None:
    quiet, loud = 0.012 * torch.ones(2, RATE), 0.5 * torch.ones(2, RATE)
    level, gain = charts(
        Rack.console("c", RATE)["compressor"], before=torch.cat([quiet, loud], 1), threshold_db=-30.0, ratio=3.0,
        knee_db=0.1, time_ms=5.0,
    )  # fmt: skip
    at, height = line(level, "levels that came in")
    assert set(at[height > -79]) == {-39.0, -7.0}, "bins of 2 dB"
    _, db = line(gain, "gain")
    assert db[3] == pytest.approx(0, abs=0.1)
    assert db[-1] == pytest.approx((-6.02 + 30) * (1 / 3 - 1), abs=0.1)


def test_a_limiter_is_flat_above_its_ceiling() -> None:
    level, out = line(charts(Rack.standard(RATE)["limiter"], ceiling_db=-12.0)[0], "comes out")
    np.testing.assert_allclose(out, np.minimum(level, -12.0), atol=1e-3)


def test_a_delay_shows_its_taps() -> None:
    delay = Rack.console("d", RATE)["delay"]
    (chart,) = charts(delay)
    for series in chart.series:
        assert all(chart.x.low <= x <= chart.x.high for x, _ in series.points)
    assert {s.style for s in chart.series} == {"stems"}


def test_a_reverb_falls_as_its_decay_says() -> None:
    (chart,) = charts(Rack.console("r", RATE)["reverb"], decay_db_per_s=-40.0)
    for series in chart.series:
        time, level = (np.array(values) for values in zip(*series.points, strict=True))
        np.testing.assert_allclose(level, -40 * time, atol=0.01)


def test_a_ride_shows_its_breakpoints() -> None:
    ride = Ride(RATE)
    size = ride.node_type.parameters[0].size
    times = [2.0, *[5.0] * (size - 1)]
    (chart,) = charts(ride, time_s=times, gain_db=[0.0, *[-6.0] * (size - 1)])
    assert line(chart, "gain")[0].tolist() == [0.0, 2.0, 5.0, 10.0]
    assert line(chart, "gain")[1].tolist() == [0.0, 0.0, -6.0, -6.0]


def test_the_outlets_of_a_crossover_have_a_curve_each() -> None:
    crossover = Rack.standard(RATE)["crossover"]
    (chart,) = charts(crossover)
    assert [s.name for s in chart.series] == list(crossover.node_type.outlets)


@pytest.mark.parametrize("name", ["gain", "imager"])
def test_what_has_no_curve_has_no_chart(name: str) -> None:
    assert charts(Rack.console("gs", RATE)[name]) == []


WITHOUT_CURVE = {
    "imager", "gain", "send", "pan", "balance", "rotation", "polarity", "mid_side_encoder", "mid_side_decoder",
    "align", "haas",
}  # fmt: skip
"""Levels, places and times, which the settings say in a few words."""
MOVED = {
    "delay_ms": 5.0,
    "threshold_db": -30.0,
    "ratio": 3.0,
    "drive_db": 12.0,
    "depth": 0.5,
    "feedback": 0.4,
    "wet": 0.5,
}


@pytest.mark.parametrize("processor", [*Rack.full(RATE)], ids=lambda p: p.node_type.name)
def test_every_type_has_a_curve_that_can_be_drawn_or_is_said_in_words(processor: Processor) -> None:
    names = {p.name for p in processor.node_type.parameters}
    sound = torch.randn(2, RATE, generator=torch.Generator().manual_seed(0)) / 10
    before = sound if len(processor.node_type.inlets) == 1 == len(processor.node_type.outlets) else None
    found = charts(processor, 0.7, before, **{name: v for name, v in MOVED.items() if name in names})
    assert bool(found) != (processor.node_type.name in WITHOUT_CURVE)
    for chart in found:
        assert chart.words
        assert chart.x.low < chart.x.high
        assert chart.y.low < chart.y.high
        points = np.array([point for one in chart.series for point in one.points])
        assert np.isfinite(points).all()
        assert points[:, 0].max() > chart.x.low


def test_a_studio_compressor_shows_the_curve_that_it_has() -> None:
    studio = Rack.full(RATE)["studio_compressor"]
    values = {"threshold_db": -30.0, "ratio": 3.0, "knee_db": 6.0, "makeup_db": 4.0, "topology": 1.0}
    level, out = line(charts(studio, **values)[0], "comes out")
    params = torch.cat([torch.full((p.size,), values.get(p.name, p.neutral)) for p in studio.node_type.parameters])
    for db in (-50.0, -28.0, -10.0):
        held = studio(torch.full((1, 2, RATE), 10 ** (db / 20), dtype=torch.float64), params[None].double())
        # a feedback loop of one sample settles a little beside its curve
        assert out[level == db][0] == pytest.approx(20 * np.log10(float(held[0, 0, -1])), abs=0.5)


def test_a_gate_shows_no_more_than_its_range() -> None:
    level, out = line(
        charts(Rack.full(RATE)["expander"], threshold_db=-20.0, ratio=5.0, knee_db=0.1, range_db=12.0)[0], "comes out"
    )
    np.testing.assert_allclose(out, level + np.maximum(-12, np.minimum(0, 4 * (level + 20))), atol=0.05)


def test_a_saturation_shows_its_formula() -> None:
    x, y = line(charts(Rack.full(RATE)["tanh"], drive_db=12.0)[0], "out")
    drive = 10 ** (12 / 20)
    np.testing.assert_allclose(y, np.tanh(drive * x) / drive, atol=2e-3)


def test_a_tremolo_shows_how_it_dips() -> None:
    _, gain = line(charts(Rack.full(RATE)["tremolo"], depth=0.5, rate_hz=2.0)[0], "left")
    assert gain.min() == pytest.approx(20 * np.log10(0.5), abs=0.01)
    assert gain.max() == pytest.approx(0, abs=0.01)


def test_echoes_come_at_multiples_of_the_time_and_fall_by_the_feedback() -> None:
    (chart,) = charts(Rack.full(RATE)["feedback_delay"], time_ms=[200.0, 300.0], feedback=0.5, high_cut_hz=13500.0)
    ms, level = line(chart, "left")
    np.testing.assert_allclose(ms[:4], [200, 400, 600, 800], atol=5)
    np.testing.assert_allclose(np.diff(level[:4]), -6.02, atol=1.5)


def test_a_network_shows_its_decay_time() -> None:
    (chart,) = charts(Rack.full(RATE)["feedback_network"], decay_s=[1.0, 1.0])
    time, fall = line(chart, "250 to 4000 Hz")
    assert np.interp(30.0, -fall, time) == pytest.approx(0.5, abs=0.06)


def test_a_dynamic_equalizer_shows_itself_quiet_and_loud() -> None:
    values = {"gain_db": 0.0, "ratio": 100.0, "range_db": 9.0, "frequency_hz": 3000.0, "threshold_db": -60.0}
    chart = charts(Rack.full(RATE)["de_esser"], **values)[0]
    hz, loud = line(chart, "every band at 0 dB")
    assert np.interp(3000.0, hz, loud) == pytest.approx(-9, abs=0.1)
    assert np.abs(line(chart, "quiet")[1]).max() < 1e-3
