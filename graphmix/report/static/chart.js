"use strict";
/* Small charts as SVG: axes, lines, areas, stems. Their colours come from the style sheet. */
window.Graphmix = window.Graphmix || {};
(function (G) {
  const SPACE = "http://www.w3.org/2000/svg";
  const EDGE = { left: 54, right: 10, top: 8, bottom: 34 };

  G.element = function (name, attributes, parent) {
    const made = document.createElementNS(SPACE, name);
    Object.entries(attributes || {}).forEach(([key, value]) => made.setAttribute(key, value));
    if (parent) parent.appendChild(made);
    return made;
  };

  /* An HTML element with a class and text. */
  G.html = function (name, className, text, parent) {
    const made = document.createElement(name);
    if (className) made.className = className;
    if (text !== undefined && text !== null) made.textContent = text;
    if (parent) parent.appendChild(made);
    return made;
  };

  function steps(axis, most) {
    if (axis.log) {
      const found = [];
      for (let decade = 1; decade <= 100000; decade *= 10) {
        [1, 2, 5].forEach((digit) => {
          const value = digit * decade;
          if (value >= axis.low && value <= axis.high && (digit === 1 || most > 5)) found.push(value);
        });
      }
      return found;
    }
    const span = axis.high - axis.low || 1;
    const raw = span / most;
    const power = 10 ** Math.floor(Math.log10(raw));
    if (axis.whole && raw < 1) {
      const found = [];
      for (let value = Math.ceil(axis.low); value <= axis.high; value += 1) found.push(value);
      return found;
    }
    let step = [1, 2, 5, 10].map((x) => x * power).find((x) => x >= raw - 1e-12);
    if (/dB/.test(axis.label) && step < 6 && span > 10) step = 6;
    if (/dB/.test(axis.label) && step > 6) step = Math.ceil(step / 6) * 6;
    const found = [];
    for (let value = Math.ceil(axis.low / step - 1e-9) * step; value <= axis.high + step * 1e-6; value += step) {
      found.push(Math.abs(value) < step * 1e-6 ? 0 : value);
    }
    return found;
  }

  /* A number with the sign that is as wide as a digit. */
  G.signed = function (value) {
    return String(value).replace("-", "−");
  };

  function number(value) {
    if (Math.abs(value) >= 1000) return G.signed(`${+(value / 1000).toFixed(1)}k`);
    return G.signed(+value.toFixed(3));
  }

  function scale(axis, from, to) {
    const map = axis.log ? Math.log : (x) => x;
    const low = map(axis.low);
    const span = map(axis.high) - low || 1;
    return (value) => from + ((map(value) - low) / span) * (to - from);
  }

  function trace(points, x, y, axis) {
    const inside = (value) => Math.max(axis.low, Math.min(axis.high, value));
    return points.map(([a, b], i) => `${i ? "L" : "M"}${x(a).toFixed(1)} ${y(inside(b)).toFixed(1)}`).join("");
  }

  function drawAxes(svg, chart, x, y, width, height) {
    const grid = G.element("g", { class: "axes" }, svg);
    const bottom = height - EDGE.bottom;
    steps(chart.x, Math.max(3, Math.floor(width / 70))).forEach((value) => {
      G.element("line", { x1: x(value), x2: x(value), y1: EDGE.top, y2: bottom }, grid);
      G.element("text", { x: x(value), y: bottom + 13, "text-anchor": "middle" }, grid).textContent = number(value);
    });
    steps(chart.y, 5).forEach((value) => {
      const line = { x1: EDGE.left, x2: width - EDGE.right, y1: y(value), y2: y(value) };
      G.element("line", value === 0 ? { ...line, class: "zero" } : line, grid);
      G.element("text", { x: EDGE.left - 5, y: y(value) + 3.5, "text-anchor": "end" }, grid).textContent = number(value);
    });
    const middle = (EDGE.left + width - EDGE.right) / 2;
    G.element("text", { x: middle, y: height - 4, "text-anchor": "middle", class: "label" }, grid).textContent = chart.x.label;
    const turned = { x: 0, y: 0, "text-anchor": "middle", class: "label" };
    turned.transform = `translate(11 ${(EDGE.top + bottom) / 2}) rotate(-90)`;
    G.element("text", turned, grid).textContent = chart.y.label;
  }

  function drawSeries(svg, one, i, x, y, chart, height) {
    const own = `var(--s${i % 8})`;
    const color = one.color || own;
    if (one.style === "stems") {
      const group = G.element("g", { style: `stroke: ${color}; fill: ${color}`, class: "stems" }, svg);
      one.points.forEach(([a, b]) => {
        const top = y(Math.max(chart.y.low, Math.min(chart.y.high, b)));
        G.element("line", { x1: x(a), x2: x(a), y1: y(chart.y.low), y2: top }, group);
        G.element("circle", { cx: x(a), cy: top, r: 2.4 }, group);
      });
      return;
    }
    if (!one.points.length) return;
    const path = trace(one.points, x, y, chart.y);
    if (one.style === "area") {
      const first = one.points[0][0];
      const last = one.points[one.points.length - 1][0];
      const floor = height - EDGE.bottom;
      const closed = `${path}L${x(last).toFixed(1)} ${floor}L${x(first).toFixed(1)} ${floor}Z`;
      G.element("path", { d: closed, class: "area" }, svg);
      return;
    }
    if (one.style === "dots") {
      const group = G.element("g", { style: `fill: ${color}` }, svg);
      one.points.forEach(([a, b]) => G.element("circle", { cx: x(a), cy: y(b), r: 3 }, group));
      return;
    }
    G.element("path", { d: path, class: one.style === "dashed" ? "line dashed" : "line", style: `stroke: ${color}` }, svg);
  }

  /* The width of a chart in a place: its words would be too small to read if it were drawn wider. */
  G.widthIn = function (parent, most) {
    return Math.max(300, Math.min(most, parent.clientWidth || most));
  };

  /* A figure with the chart, its legend and its words. Returns {figure, svg, x, y}. */
  G.chart = function (chart, size) {
    const width = (size && size.width) || 340;
    const height = (size && size.height) || 190;
    const figure = G.html("figure", "chart");
    if (chart.title) G.html("figcaption", "", chart.title, figure);
    const svg = G.element("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": `${chart.title}. ${chart.words || ""}` }, figure);
    const x = scale(chart.x, EDGE.left, width - EDGE.right);
    const y = scale(chart.y, height - EDGE.bottom, EDGE.top);
    drawAxes(svg, chart, x, y, width, height);
    chart.series.forEach((one, i) => drawSeries(svg, one, i, x, y, chart, height));
    if (chart.series.length > 1) {
      const legend = G.html("ul", "chart-legend", null, figure);
      chart.series.forEach((one, i) => {
        const item = G.html("li", one.style || "line", one.name, legend);
        item.style.setProperty("--own", one.color || (one.style === "area" ? "var(--area)" : `var(--s${i % 8})`));
      });
    }
    if (chart.words) G.html("p", "chart-words", chart.words, figure);
    return { figure, svg, x, y, edge: EDGE, width, height };
  };
})(window.Graphmix);
