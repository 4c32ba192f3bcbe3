"use strict";
/* Puts the parts of the page together, and listens to the keyboard. */
(function (G) {
  const data = JSON.parse(document.getElementById("data").textContent);
  const find = (id) => document.getElementById(id);
  const player = data.versions.length ? new G.Player(data) : null;
  const graph = find("graph-picture") ? new G.GraphView(data, player) : null;
  G.page = { data, player, graph };

  function decibels(value) {
    const rounded = Math.abs(value) < 0.05 ? 0 : value;
    return `${rounded > 0 ? "+" : rounded < 0 ? "−" : "±"}${Math.abs(rounded).toFixed(1)} dB`;
  }

  /* Radio buttons of a group: arrows move and choose, as with native ones. */
  function radios(group, choose) {
    const buttons = [...group.querySelectorAll('[role="radio"]')];
    const set = (index) => {
      buttons.forEach((button, i) => {
        button.setAttribute("aria-checked", String(i === index));
        button.tabIndex = i === index ? 0 : -1;
      });
    };
    buttons.forEach((button, i) => {
      button.addEventListener("click", () => {
        set(i);
        choose(i);
      });
      button.addEventListener("keydown", (event) => {
        const by = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
        if (!by) return;
        const next = (i + by + buttons.length) % buttons.length;
        set(next);
        choose(next);
        buttons[next].focus();
        event.preventDefault();
        event.stopPropagation();
      });
    });
    return set;
  }

  function wireTransport() {
    const play = find("play");
    const seek = find("seek");
    const setVersion = radios(document.querySelector(".versions"), (i) => {
      player.endSolo();
      player.select(i);
    });
    play.addEventListener("click", () => player.toggle());
    seek.addEventListener("input", () => player.seek(Number(seek.value)));
    find("matched").addEventListener("change", (event) => player.setMatched(event.target.checked));
    find("looped").addEventListener("change", (event) => player.setLooped(event.target.checked));
    find("solo-end").addEventListener("click", () => player.endSolo());
    document.querySelectorAll("[data-seek]").forEach((button) => {
      button.addEventListener("click", () => player.seek(Number(button.dataset.seek) - player.song.start));
    });
    player.onchange(() => show(setVersion));
    show(setVersion);
    requestAnimationFrame(frame);
  }

  function show(setVersion) {
    const play = find("play");
    play.setAttribute("aria-pressed", String(player.playing));
    play.querySelector(".text").textContent = player.playing ? "Pause" : "Play";
    setVersion(player.version);
    document.body.classList.toggle("soloing", player.solo !== null);
    find("looped").checked = player.looped;
    find("matched").checked = player.matched;
    find("solo-note").hidden = player.solo === null;
    if (player.solo) find("solo-text").textContent = `Solo: ${player.solo.name}`;
    data.versions.forEach((version, i) => {
      const gain = player.matched ? version.matched : version.plain;
      document.querySelector(`[data-level="${i}"]`).textContent = `${decibels(gain)} · ${G.signed(version.lufs.toFixed(1))} LUFS`;
    });
    const region = player.region;
    const at = (seconds) => G.clock(player.song.start + seconds);
    find("region").textContent = region === null ? "all" : `${at(region.from)} to ${at(region.to)}`;
    document.querySelectorAll("[data-solo]").forEach((button) => {
      button.setAttribute("aria-pressed", String(isSolo(button)));
    });
    if (player.timeline) player.timeline.showRegion(player.looped ? region : null);
    place();
  }

  function place() {
    const at = player.position();
    find("now").textContent = G.clock(player.song.start + at);
    const seek = find("seek");
    if (document.activeElement !== seek || player.playing) seek.value = String(at);
    seek.setAttribute("aria-valuetext", G.clock(player.song.start + at));
    if (player.timeline) player.timeline.showPosition(at);
  }

  function frame() {
    if (player.playing && player.solo === null) place();
    requestAnimationFrame(frame);
  }

  function keysOf(track) {
    return track.chain === null ? [track.dry] : [track.dry, track.chain];
  }

  function isSolo(button) {
    if (player.solo === null) return false;
    const track = data.tracks[Number(button.dataset.solo)];
    const chosen = button.dataset.side === "dry" ? 0 : 1;
    return player.solo.track === track.name && player.solo.chosen === chosen;
  }

  function wireSolo() {
    document.querySelectorAll("[data-solo]").forEach((button) => {
      button.addEventListener("click", async () => {
        const track = data.tracks[Number(button.dataset.solo)];
        const chosen = button.dataset.side === "dry" ? 0 : 1;
        if (isSolo(button)) {
          player.endSolo();
          return;
        }
        const words = chosen ? "through its chain" : "dry";
        await player.playSide(`${track.name}, ${words}`, keysOf(track), chosen, track.name);
      });
    });
  }

  function wireMap() {
    const group = document.querySelector(".choice");
    if (!group) return;
    const modes = [...group.children].map((button) => button.dataset.map);
    radios(group, (i) => player.ready.then(() => player.timeline.setMode(modes[i])));
  }

  function lossChart() {
    const parent = find("loss-chart");
    if (!parent || !data.losses.segments.length) return;
    const { names, segments, by_segment: rows } = data.losses;
    const most = Math.max(...rows.flat());
    const series = names.map((name, v) => {
      const index = data.versions.findIndex((own) => own.name === name);
      const points = segments.flatMap(([begin, end], i) => [[begin, rows[v][i]], [end, rows[v][i]]]);
      return { name, points, style: "line", color: `var(--v${index % 8})` };
    });
    const made = G.chart(
      {
        title: "Loss by segment",
        x: { label: "time / s", low: segments[0][0], high: segments[segments.length - 1][1] },
        y: { label: "audio loss", low: 0, high: most * 1.05 },
        series,
        words: "",
      },
      { width: G.widthIn(parent, 560), height: 210 },
    );
    parent.appendChild(made.figure);
  }

  function typing(target) {
    return target.isContentEditable || ["TEXTAREA", "SELECT"].includes(target.tagName) || (target.tagName === "INPUT" && target.type !== "range" && target.type !== "checkbox");
  }

  const KEYS = {
    " ": () => player.toggle(),
    ArrowLeft: (event) => player.seek(player.position() - (event.shiftKey ? 5 : 1)),
    ArrowRight: (event) => player.seek(player.position() + (event.shiftKey ? 5 : 1)),
    Home: () => player.seek(0),
    l: () => player.setLooped(!player.looped),
    m: () => player.setMatched(!player.matched),
    "[": () => player.setRegion({ from: player.position(), to: player.region ? Math.max(player.region.to, player.position() + 0.1) : player.song.seconds }, true),
    "]": () => player.setRegion({ from: player.region && player.region.from < player.position() ? player.region.from : 0, to: player.position() }, true),
    Escape: () => {
      player.endSolo();
      if (graph) graph.close();
    },
  };

  /* Whether a key means something else where the focus is. */
  function taken(event) {
    const { key, target } = event;
    if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented || typing(target)) return true;
    const moves = /^Arrow|Home/.test(key);
    if (target.tagName === "INPUT") return target.type === "range" ? moves : key === " ";
    if (key !== " ") return moves && target.closest(".scroll") !== null;
    const button = target.closest("button, summary, a, [role='button']");
    return button !== null && !button.matches('[role="radio"][aria-checked="true"]'); // Space would do nothing there
  }

  function onKey(event) {
    if (taken(event)) return;
    const digit = Number(event.key);
    if (Number.isInteger(digit) && digit >= 1 && digit <= data.versions.length) {
      player.endSolo();
      player.select(digit - 1);
      return;
    }
    const act = KEYS[event.key.length === 1 ? event.key.toLowerCase() : event.key];
    if (!act) return;
    act(event);
    event.preventDefault();
  }

  if (player) {
    wireTransport();
    wireSolo();
    wireMap();
    document.addEventListener("keydown", onKey);
  }
  G.zooming();
  lossChart();
  if (data.course && data.course.rounds.length) G.page.course = new G.CourseView(data.course);
  if (find("chart-list")) data.charts.forEach((chart) => find("chart-list").appendChild(G.chart(chart).figure));
  G.page.shown = performance.now();
  G.page.ready = (player ? player.ready : Promise.resolve()).then(() => {
    G.page.decoded = performance.now();
    if (player) player.timeline.setVersion(player.version, player.buffers[player.version]);
    document.documentElement.dataset.ready = "yes";
  });
})(window.Graphmix);
