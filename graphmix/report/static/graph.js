"use strict";
/* The graph: choose a node by mouse, finger or keyboard; its settings, curves and sound appear beside it. */
window.Graphmix = window.Graphmix || {};
(function (G) {
  class GraphView {
    constructor(data, player) {
      this.data = data;
      this.player = player;
      this.svg = document.getElementById("graph-picture");
      this.panel = document.getElementById("node-panel");
      this.nodes = new Map([...this.svg.querySelectorAll(".node")].map((g) => [Number(g.dataset.node), g]));
      this.chosen = null;
      this._listen();
      if (player) player.onchange(() => this._mark());
    }

    _listen() {
      this.svg.addEventListener("click", (event) => {
        const g = event.target.closest(".node");
        if (g) this.choose(Number(g.dataset.node));
      });
      this.svg.addEventListener("keydown", (event) => {
        const g = event.target.closest(".node");
        if (!g) return;
        const node = Number(g.dataset.node);
        if (event.key === "Enter" || event.key === " ") {
          this.choose(node);
        } else if (event.key.startsWith("Arrow")) {
          this._move(node, event.key);
        } else {
          return;
        }
        event.preventDefault();
        event.stopPropagation();
      });
    }

    _place(node) {
      const box = this.nodes.get(node).querySelector(".halo");
      const number = (name) => Number(box.getAttribute(name));
      return { x: number("x") + number("width") / 2, y: number("y") + number("height") / 2 };
    }

    _move(node, key) {
      const here = this._place(node);
      let near = [];
      if (key === "ArrowRight") near = this.data.wires.filter(([a]) => a === node).map(([, b]) => b);
      if (key === "ArrowLeft") near = this.data.wires.filter(([, b]) => b === node).map(([a]) => a);
      if (key === "ArrowUp" || key === "ArrowDown") {
        const sign = key === "ArrowUp" ? -1 : 1;
        near = [...this.nodes.keys()].filter((v) => sign * (this._place(v).y - here.y) > 8);
      }
      const far = (v) => {
        const there = this._place(v);
        return Math.abs(there.x - here.x) + 2 * Math.abs(there.y - here.y);
      };
      near.sort((a, b) => far(a) - far(b));
      if (near.length) this.focus(near[0]);
    }

    focus(node) {
      this.nodes.forEach((g, v) => g.setAttribute("tabindex", v === node ? "0" : "-1"));
      this.nodes.get(node).focus();
    }

    choose(node) {
      if (this.chosen !== null) this.nodes.get(this.chosen).setAttribute("aria-pressed", "false");
      this.chosen = node;
      this.nodes.forEach((g, v) => g.setAttribute("tabindex", v === node ? "0" : "-1"));
      this.nodes.get(node).setAttribute("aria-pressed", "true");
      this.svg.querySelectorAll(".wires path").forEach((path) => {
        path.classList.toggle("near", Number(path.dataset.from) === node || Number(path.dataset.to) === node);
      });
      this._show(this.data.nodes.find((n) => n.node === node));
    }

    close() {
      if (this.chosen === null) return;
      this.nodes.get(this.chosen).setAttribute("aria-pressed", "false");
      this.svg.querySelectorAll(".wires .near").forEach((path) => path.classList.remove("near"));
      this.chosen = null;
      this.panel.hidden = true;
    }

    _show(node) {
      const panel = this.panel;
      panel.textContent = "";
      panel.hidden = false;
      const head = G.html("div", "node-head", null, panel);
      const title = G.html("h3", "", node.title, head);
      const close = G.html("button", "close", "×", head);
      close.type = "button";
      close.setAttribute("aria-label", "Close");
      close.addEventListener("click", () => {
        const back = this.chosen;
        this.close();
        this.focus(back);
      });
      title.id = "node-title";
      if (node.place) G.html("p", "place", `on ${node.place}`, panel);
      if (node.settings) G.html("p", "settings", node.settings, panel);
      if (!node.folded && node.wet < 1) G.html("p", "place", `${(100 * node.wet).toFixed(1)} % wet`, panel);
      this._buttons(node);
      node.charts.forEach((chart) => panel.appendChild(G.chart(chart).figure));
      if (innerWidth < 900) panel.scrollIntoView({ block: "nearest", behavior: "smooth" });
    }

    _buttons(node) {
      if (!this.player || (node.before === null && node.after === null)) return;
      const keys = node.before !== null && node.before !== node.after ? [node.before, node.after] : [node.after];
      const names = keys.length > 1 ? ["input", "output"] : ["listen"];
      const row = G.html("div", "in-out", null, this.panel);
      row.setAttribute("role", "group");
      row.setAttribute("aria-label", "Sound of the node");
      const piece = this.data.pieces[keys[0]];
      keys.forEach((key, i) => {
        const button = G.html("button", "", names[i], row);
        button.type = "button";
        button.dataset.keys = keys.join(" ");
        button.dataset.side = String(i);
        button.addEventListener("click", () => {
          const on = button.getAttribute("aria-pressed") === "true";
          if (on) this.player.endSolo();
          else this.player.playSide(`${node.title}, ${names[i]}`, keys, i);
        });
      });
      const levels = G.pairLevels(keys.map((key) => this.data.pieces[key]));
      const differ = keys.length > 1 ? this.data.pieces[keys[1]].lufs - this.data.pieces[keys[0]].lufs : 0;
      const end = piece.start + piece.seconds;
      let text = `${G.clock(piece.start)} to ${G.clock(end)}, where it is loudest`;
      if (keys.length > 1 && Math.abs(levels[0].matched - levels[1].matched) >= 0.05) {
        text += `; the output is ${Math.abs(differ).toFixed(1)} dB ${differ > 0 ? "louder" : "softer"}, which matching takes away`;
      }
      G.html("p", "where", `${text}.`, this.panel);
      this._mark();
    }

    _mark() {
      const solo = this.player ? this.player.solo : null;
      this.panel.querySelectorAll("[data-keys]").forEach((button) => {
        const on = solo !== null && solo.keys.join(" ") === button.dataset.keys && String(solo.chosen) === button.dataset.side;
        button.setAttribute("aria-pressed", String(on));
      });
    }
  }

  /* Buttons that make a picture larger, smaller, or as wide as its frame. */
  function zooming() {
    document.querySelectorAll("[data-zoom]").forEach((button) => {
      const frame = document.getElementById(button.dataset.target);
      button.addEventListener("click", () => {
        const svg = frame.querySelector("svg");
        const whole = Number(svg.dataset.width);
        const now = svg.getBoundingClientRect().width;
        const factor = { in: 1.25, out: 0.8 }[button.dataset.zoom];
        const next = factor ? now * factor : Math.min(frame.clientWidth, whole * 2);
        const share = Math.max(0.15, Math.min(4, next / whole));
        const middle = (frame.scrollLeft + frame.clientWidth / 2) / now;
        const [, , width, height] = svg.getAttribute("viewBox").split(" ").map(Number);
        svg.setAttribute("width", whole * share);
        svg.setAttribute("height", (whole * share * height) / width);
        frame.scrollLeft = middle * whole * share - frame.clientWidth / 2;
      });
    });
  }

  G.GraphView = GraphView;
  G.zooming = zooming;
})(window.Graphmix);
