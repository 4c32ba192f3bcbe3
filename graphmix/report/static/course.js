"use strict";
/* The course of a search: a slider over its rounds, the graph of each, its loss, what was removed and why. */
window.Graphmix = window.Graphmix || {};
(function (G) {
  const loss = (value) => value.toFixed(4);
  const MOST = 12;

  class CourseView {
    constructor(course) {
      this.course = course;
      this.svg = document.getElementById("course-picture");
      this.slider = document.getElementById("round");
      this.text = document.getElementById("round-text");
      this.removed = document.getElementById("removed");
      this.marker = null;
      this._chart();
      this.slider.addEventListener("input", () => this.show(Number(this.slider.value)));
      document.getElementById("round-back").addEventListener("click", () => this._step(-1));
      document.getElementById("round-on").addEventListener("click", () => this._step(1));
      this.slider.value = String(course.rounds.length - 1);
      this.show(course.rounds.length - 1);
    }

    _step(by) {
      const next = Math.max(0, Math.min(this.course.rounds.length - 1, Number(this.slider.value) + by));
      this.slider.value = String(next);
      this.show(next);
    }

    _chart() {
      const rounds = this.course.rounds;
      const left = rounds.map((r) => r.processors);
      const most = Math.max(...left, 1);
      const values = rounds.map((r) => r.loss);
      const low = Math.min(...values);
      const high = Math.max(...values);
      const room = Math.max(0.02, (high - low) * 0.25);
      const share = (count) => low - room + ((high - low + 2 * room) * count) / most;
      const last = rounds[rounds.length - 1];
      const made = G.chart(
        {
          title: "Loss and processors by round",
          x: { label: "round", low: 0, high: Math.max(1, rounds.length - 1), whole: true },
          y: { label: "audio loss", low: low - room, high: high + room },
          series: [
            { name: `processors left, of ${most}`, style: "area", points: rounds.map((r, i) => [i, share(r.processors)]) },
            { name: "audio loss", style: "line", points: rounds.map((r, i) => [i, r.loss]) },
          ],
          words: `From ${left[0]} processors with a loss of ${loss(rounds[0].loss)} to ${last.processors} with ${loss(last.loss)}.`,
        },
        { width: G.widthIn(document.getElementById("course-chart"), 420), height: 210 },
      );
      this.marker = G.element("line", { class: "marker", y1: made.edge.top, y2: made.height - made.edge.bottom }, made.svg);
      this.x = made.x;
      document.getElementById("course-chart").appendChild(made.figure);
    }

    show(index) {
      const round = this.course.rounds[index];
      const name = index === 0 ? "Fitted console" : `Round ${round.number}`;
      this.text.textContent = `${name}: loss ${loss(round.loss)}, ${round.processors} processors`;
      this.slider.setAttribute("aria-valuetext", this.text.textContent);
      this.marker.setAttribute("x1", this.x(index));
      this.marker.setAttribute("x2", this.x(index));
      if (this.svg) this._fade(round);
      this._list(round);
    }

    _fade(round) {
      if (round.present === null) return;
      const weights = new Map(round.present.map((node, i) => [node, round.wet[i]]));
      const now = new Set();
      round.trials.filter((t) => t.kept).forEach((t) => t.nodes.forEach((node) => now.add(node)));
      this.svg.querySelectorAll(".node").forEach((g) => {
        const node = Number(g.dataset.node);
        g.classList.toggle("gone", !weights.has(node));
        g.classList.toggle("just", now.has(node) && !weights.has(node));
        const wet = g.querySelector(".wet");
        const weight = weights.get(node);
        if (wet && weight !== undefined) wet.style.clipPath = `inset(${(100 * (1 - weight)).toFixed(1)}% 0 0 0)`;
      });
    }

    _list(round) {
      this.removed.textContent = "";
      const kept = round.trials.filter((t) => t.kept);
      const stay = round.trials.filter((t) => !t.kept);
      if (!round.trials.length) {
        const text = round.number === 0 ? "Before the first round: nothing has been removed yet." : "Nothing was tried in this round.";
        G.html("p", "", text, this.removed);
        return;
      }
      const count = kept.reduce((sum, t) => sum + t.nodes.length, 0);
      const back = round.restored ? `, of which ${round.restored} were put back, as the whole song needed them` : "";
      G.html("h3", "", `Removed: ${count}${back}`, this.removed);
      this._trials(kept, (t) => `the loss went from ${loss(t.before)} to ${loss(t.after)}; up to ${loss(t.limit)} was allowed`);
      G.html("h3", "", `Tried and kept: ${stay.length} ${stay.length === 1 ? "trial" : "trials"}`, this.removed);
      this._trials(stay, (t) => {
        if (t.audible) return "without it a track would be audibly different";
        if (t.after === null) return `the loss would be above ${loss(t.limit)}`;
        return `the loss would be ${loss(t.after)}; up to ${loss(t.limit)} is allowed`;
      });
    }

    _trials(trials, why) {
      const list = G.html("ul", "", null, this.removed);
      const order = [...trials].sort((a, b) => a.nodes.length - b.nodes.length);
      order.slice(0, MOST).forEach((trial) => {
        const item = G.html("li", "", null, list);
        const few = trial.names.slice(0, 4).join(", ");
        const more = trial.names.length > 4 ? ` and ${trial.names.length - 4} more` : "";
        G.html("b", "", few + more, item);
        G.html("span", "", ` – ${why(trial)}`, item);
      });
      if (order.length > MOST) G.html("li", "more", `and ${order.length - MOST} more trials`, list);
    }
  }

  G.CourseView = CourseView;
})(window.Graphmix);
