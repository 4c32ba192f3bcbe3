"""The page in a real browser: it opens, plays, switches to the sample, shows nodes, zooms, prints, and can be used by
keyboard and screen reader.
"""

import base64
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch

from graphmix.audio import read_audio
from graphmix.report.error_map import level_maps
from graphmix.report.page import Content, Version, build
from graphmix.report.sound import RATE, prepare

pytestmark = pytest.mark.browser
READY = "document.documentElement.dataset.ready === 'yes'"
FADE = 0.008
PACK = """(floats) => {
    const bytes = new Uint8Array(Float32Array.from(floats).buffer);
    let text = "";
    for (let i = 0; i < bytes.length; i += 8192) text += String.fromCharCode(...bytes.subarray(i, i + 8192));
    return btoa(text);
}"""
"""Samples as text, which is much faster than a list of numbers."""


def unpacked(text: str) -> np.ndarray:
    return np.frombuffer(base64.b64decode(text), dtype="<f4")


class Visit:
    """A page that is open, with what the browser said of it."""

    def __init__(self, browser: Any, path: Path, **options: Any) -> None:
        self.context = browser.new_context(viewport={"width": 1280, "height": 900}, **options)
        self.page = self.context.new_page()
        self.said: list[str] = []
        self.requests: list[str] = []
        self.page.on("console", lambda message: self.said.append(f"{message.type}: {message.text}"))
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.goto(path.as_uri())
        self.page.wait_for_function(READY)


@pytest.fixture(scope="module")
def visit(browser: Any, report: Path) -> Iterator[Visit]:
    """The page, opened once for tests that leave it as it was."""
    opened = Visit(browser, report)
    yield opened
    opened.context.close()


@pytest.fixture
def page(visit: Visit) -> Any:
    """The page at rest: nothing plays, no node is open, the target is chosen."""
    visit.page.evaluate("Graphmix.page.player.pause(); Graphmix.page.player.endSolo(); Graphmix.page.graph.close()")
    visit.page.evaluate("Graphmix.page.player.setRegion(null, false); Graphmix.page.player.select(0)")
    visit.page.evaluate("Graphmix.page.player.seek(0); document.activeElement.blur(); scrollTo(0, 0)")
    return visit.page


def test_it_opens_without_an_error_and_without_the_network(visit: Visit, report: Path) -> None:
    assert visit.said == []
    assert [url for url in visit.requests if not url.startswith("data:")] == [report.as_uri()]


def test_all_versions_lie_in_sync_with_their_files(page: Any, mined: Path, song_folder: Path) -> None:
    decode = f"""async (key) => {{
        const buffer = await Graphmix.page.player.sounds.get(key);
        const data = Graphmix.page.data.versions.find((v) => v.key === key);
        return [({PACK})(buffer.getChannelData(0)), data.restore, buffer.sampleRate];
    }}"""
    for key, path in (("version-0", song_folder / "mix.wav"), ("version-1", mined / "mix.wav")):
        text, restore, rate = page.evaluate(decode, key)
        played = unpacked(text) * restore
        assert rate == RATE
        info = soundfile.info(path)
        wanted = prepare(read_audio(path), info.samplerate).samples[0].numpy()
        assert len(played) == len(wanted)
        size = 2 * len(wanted)
        spectra = np.fft.rfft(played, size) * np.conj(np.fft.rfft(wanted, size))
        assert int(np.fft.irfft(spectra).argmax()) == 0, "coding moved it"
        error = played - wanted
        assert np.square(error).sum() < 0.05 * np.square(wanted).sum()


PLAYED = f"""async ([from, seconds, changes, region]) => {{
    const G = Graphmix, player = G.page.player;
    const buffers = await Promise.all(G.page.data.versions.map((v) => player.sounds.get(v.key)));
    const context = new OfflineAudioContext(2, Math.round(seconds * 48000), 48000);
    const deck = new G.Deck(context);
    deck.setVoices(buffers, buffers.map((_, i) => 1 - 0.1 * i));
    deck.region = region;
    deck.play(from, 0);
    changes.forEach(([index, when]) => deck.select(index, when));
    const rendered = await context.startRendering(), pack = {PACK};
    return [pack(rendered.getChannelData(0)), ...buffers.slice(0, 3).map((b) => pack(b.getChannelData(0)))];
}}"""


def played_offline(page: Any, *what: Any) -> tuple[np.ndarray, list[np.ndarray]]:
    """What the page's own audio graph puts out, and the first three versions, left channels."""
    out, *versions = (unpacked(text) for text in page.evaluate(PLAYED, list(what)))
    return out, versions


def test_switching_repeats_and_skips_no_sample(page: Any) -> None:
    """What the page's own audio graph puts out is, sample for sample, one version before and another after a fade."""
    start, switches = 0.5, [(1, 0.2), (2, 0.5)]
    out, versions = played_offline(page, start, 0.8, switches, None)
    first, second, third = (v[round(start * RATE) :] * (1 - 0.1 * i) for i, v in enumerate(versions))
    fade = round(FADE * RATE)
    a, b = round(0.2 * RATE), round(0.5 * RATE)
    np.testing.assert_allclose(out[fade + 1 : a], first[fade + 1 : a], atol=1e-6)
    np.testing.assert_allclose(out[a + fade + 1 : b], second[a + fade + 1 : b], atol=1e-6)
    np.testing.assert_allclose(out[b + fade + 1 :], third[b + fade + 1 : len(out)], atol=1e-6)
    share = np.arange(fade + 1) / fade
    between = (1 - share) * first[a : a + fade + 1] + share * second[a : a + fade + 1]
    np.testing.assert_allclose(out[a : a + fade + 1], between, atol=2e-4)


def test_a_switch_within_a_fade_does_not_jump(page: Any) -> None:
    out, versions = played_offline(page, 0.5, 0.3, [(1, 0.1), (0, 0.104), (2, 0.106)], None)
    steps = np.abs(np.diff(out[round(0.09 * RATE) : round(0.13 * RATE)])).max()
    usual = max(np.abs(np.diff(v)).max() for v in versions)
    assert steps <= 1.1 * usual


def test_a_loop_has_no_seam(page: Any) -> None:
    region = {"from": 0.7, "to": 1.0}
    out, versions = played_offline(page, 0.7, 1.0, [], region)
    wanted = versions[0]
    length, begin, fade = round(0.3 * RATE), round(0.7 * RATE), round(FADE * RATE)
    middle = slice(fade + 1, length - fade)
    np.testing.assert_allclose(out[middle], wanted[begin:][middle], atol=1e-6)
    np.testing.assert_allclose(out[length : 2 * length], out[2 * length : 3 * length], atol=1e-6)
    assert np.abs(np.diff(out[length - 50 : length + 50])).max() <= 1.2 * np.abs(np.diff(wanted)).max()


def test_it_plays_switches_and_loops(page: Any) -> None:
    page.click("#play")
    page.wait_for_function("Graphmix.page.player.position() > 0.05")
    assert page.get_attribute("#play", "aria-pressed") == "true"
    page.click("[data-version='2']")
    assert page.get_attribute("[data-version='2']", "aria-checked") == "true"
    assert page.evaluate("Graphmix.page.player.main.selected") == 2
    assert page.evaluate("Graphmix.page.player.playing"), "switching does not stop it"
    box = page.locator("#lanes").bounding_box()
    page.mouse.move(box["x"] + 0.3 * box["width"], box["y"] + 20)
    page.mouse.down()
    page.mouse.move(box["x"] + 0.6 * box["width"], box["y"] + 20, steps=4)
    page.mouse.up()
    region = page.evaluate("Graphmix.page.player.main.region")
    seconds = page.evaluate("Graphmix.page.player.song.seconds")
    assert [region["from"], region["to"]] == pytest.approx([0.3 * seconds, 0.6 * seconds], abs=0.02 * seconds)
    page.click("#play")
    assert not page.evaluate("Graphmix.page.player.playing")


def test_versions_are_matched_in_loudness_until_that_is_switched_off(page: Any) -> None:
    levels = "Graphmix.page.data.versions.map((v) => v.lufs + v.matched)"
    matched = page.evaluate(levels)
    assert max(matched) - min(matched) < 0.2
    assert page.is_checked("#matched")
    shown = page.inner_text("[data-level='2']")
    page.keyboard.press("m")
    assert not page.is_checked("#matched")
    assert page.inner_text("[data-level='2']") != shown
    page.keyboard.press("m")


def test_the_keyboard_does_it_all(page: Any) -> None:
    page.keyboard.press("2")
    assert page.evaluate("Graphmix.page.player.version") == 1
    page.keyboard.press("ArrowRight")
    assert page.evaluate("Graphmix.page.player.position()") == pytest.approx(1.0, abs=0.01)
    page.keyboard.press("[")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("]")
    region = page.evaluate("Graphmix.page.player.region")
    assert (region["from"], region["to"]) == pytest.approx((1.0, 2.0), abs=0.02)
    page.click("[data-version='1']")
    page.keyboard.press(" ")  # also where a version has the focus
    page.wait_for_function("Graphmix.page.player.playing")
    page.keyboard.press(" ")
    page.wait_for_function("!Graphmix.page.player.playing")
    page.keyboard.press("Home")
    page.keyboard.press("l")
    assert page.evaluate("Graphmix.page.player.looped") is False


def test_a_node_shows_its_settings_and_curve_and_plays(page: Any) -> None:
    node = page.evaluate("Graphmix.page.data.nodes.find((n) => n.kind === 'equalizer')")
    page.locator(f"#graph-picture [data-node='{node['node']}']").click()
    panel = page.locator("#node-panel")
    assert node["settings"] in panel.inner_text()
    assert panel.locator("svg[role=img]").count() == len(node["charts"]) == 1
    panel.get_by_role("button", name="output").click()
    page.wait_for_function("Graphmix.page.player.side && Graphmix.page.player.side.playing")
    assert panel.get_by_role("button", name="output").get_attribute("aria-pressed") == "true"
    assert page.evaluate("Graphmix.page.player.side.region") is not None, "it is looped"
    page.keyboard.press("Escape")
    assert not page.evaluate("Graphmix.page.player.playing")


def test_arrows_follow_the_connections(page: Any) -> None:
    inlet = page.evaluate("Graphmix.page.data.nodes.find((n) => n.kind === 'in').node")
    page.evaluate(f"Graphmix.page.graph.focus({inlet})")
    page.keyboard.press("ArrowRight")
    now = page.evaluate("Number(document.activeElement.dataset.node)")
    assert [inlet, now] in page.evaluate("Graphmix.page.data.wires")
    page.keyboard.press("Enter")
    assert page.evaluate("Graphmix.page.graph.chosen") == now


def test_a_track_can_be_heard_alone(page: Any) -> None:
    page.locator("[data-solo='0'][data-side='dry']").click()
    page.wait_for_function("Graphmix.page.player.side && Graphmix.page.player.side.playing")
    assert page.is_visible("#solo-note")
    page.click("#solo-end")
    assert not page.evaluate("Graphmix.page.player.playing")


def test_zooming_changes_the_size_of_the_picture(page: Any) -> None:
    width = page.locator("#graph-picture").bounding_box()["width"]
    page.click("[data-zoom='in'][data-target='graph-scroll']")
    assert page.locator("#graph-picture").bounding_box()["width"] == pytest.approx(1.25 * width, rel=0.01)
    page.click("[data-zoom='out'][data-target='graph-scroll']")


def test_the_slider_goes_through_the_rounds(page: Any) -> None:
    rounds = page.evaluate("Graphmix.page.data.course.rounds.map((r) => [r.present.length, r.loss])")
    nodes = page.locator("#course-picture .node").count()
    assert rounds[0][0] == nodes
    for index, (left, loss) in enumerate(rounds):
        page.locator("#round").fill(str(index))
        assert page.locator("#course-picture .gone").count() == nodes - left
        assert f"{loss:.4f}" in page.inner_text("#round-text")
    assert "Removed" in page.inner_text("#removed")


def test_the_spectrogram_follows_the_cursor(page: Any) -> None:
    page.keyboard.press("2")
    box = page.locator("#map").bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    assert "kHz" in (text := page.inner_text("#readout")) or " Hz" in text
    assert "against the target" in text
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    seconds = page.evaluate("Graphmix.page.player.song.seconds")
    assert page.evaluate("Graphmix.page.player.position()") == pytest.approx(seconds / 2, abs=0.05)
    page.mouse.move(0, 0)
    assert page.inner_text("#readout").startswith("Error of the mined mix against the target: on average")
    assert f"At 0:{seconds / 2:04.1f} " in page.inner_text("#readout"), (
        "without a pointer it is the cursor that is read"
    )
    page.keyboard.press("Home")
    at_cursor = float(page.inner_text("#readout").split("At 0:00.0 it is ")[1].split(" dB")[0])
    columns, levels = page.evaluate(
        "[Graphmix.page.data.maps.columns, Graphmix.page.player.timeline.levels.map((l) => [...l])]"
    )
    first, own = (np.array(level).reshape(-1, columns)[:, 0] * 80 / 255 for level in levels[:2])
    assert at_cursor == pytest.approx(np.abs(own - first).mean(), abs=0.06)


def test_without_a_target_there_are_levels_and_differences(browser: Any, tmp_path: Path) -> None:
    time = np.arange(RATE) / RATE
    tones = [torch.from_numpy(np.tile(a * np.sin(2 * np.pi * 440 * time), (2, 1))).float() for a in (0.5, 0.1)]
    versions = [Version(name, prepare(tone, RATE)) for name, tone in zip(("mix", "stem"), tones, strict=True)]
    maps = level_maps([version.sound for version in versions])
    path = tmp_path / "page.html"
    path.write_text(build(Content("a", "b", "c", [], versions, 1.0, maps=maps, has_target=False)), encoding="utf-8")
    page = (visit := Visit(browser, path)).page
    page.keyboard.press("2")
    assert page.inner_text("#readout").startswith("Level of the stem")
    page.click("[data-map='error']")
    assert page.inner_text("#readout").startswith("Difference of the stem against the mix")
    assert "14 dB softer" in page.inner_text("#readout")
    assert visit.said == []
    visit.context.close()


def test_it_prints(page: Any) -> None:
    assert page.pdf().startswith(b"%PDF")


def test_a_phone_shows_it_without_scrolling_sideways(browser: Any, report: Path) -> None:
    visit = Visit(browser, report, color_scheme="dark")
    visit.page.set_viewport_size({"width": 360, "height": 740})
    assert visit.page.evaluate("document.documentElement.scrollWidth") <= 360
    assert visit.said == []
    visit.context.close()


def _axe() -> Path | None:
    """axe-core, if this machine has it: ``GRAPHMIX_AXE`` names its file, or npm has installed it globally."""
    if "GRAPHMIX_AXE" in os.environ:
        return Path(os.environ["GRAPHMIX_AXE"])
    if shutil.which("npm") is None:
        return None
    root = subprocess.run(["npm", "root", "-g"], capture_output=True, text=True, check=False).stdout.strip()
    path = Path(root) / "axe-core" / "axe.min.js"
    return path if root and path.is_file() else None


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_serious_fault(browser: Any, report: Path, scheme: str) -> None:
    axe = _axe()
    if axe is None:
        pytest.skip("there is no axe-core: npm install -g axe-core, or set GRAPHMIX_AXE to its axe.min.js")
    visit = Visit(browser, report, color_scheme=scheme)
    visit.page.evaluate("Graphmix.page.graph.choose(Graphmix.page.data.nodes.find((n) => n.charts.length).node)")
    visit.page.evaluate(axe.read_text(encoding="utf-8"))
    found = visit.page.evaluate("axe.run().then((r) => r.violations)")
    visit.context.close()
    serious = [v for v in found if v["impact"] in ("serious", "critical")]
    assert not serious, json.dumps([[v["id"], [n["html"][:120] for n in v["nodes"]][:3]] for v in serious], indent=1)
