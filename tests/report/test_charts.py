"""The curves of a page against the closed forms of their processors."""

import numpy as np
import pytest
import torch

from graphmix.processors import Rack, Ride
from graphmix.processors.base import Processor
from graphmix.report.charts import Chart, Played, charts_of

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
