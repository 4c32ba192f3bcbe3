"use strict";
/* The sound over time: waveform, spectrogram of error or level, cursor, loop region. Click to seek, drag to loop. */
window.Graphmix = window.Graphmix || {};
(function (G) {
  const DRAG = 6;
  const ERROR_DB = 20;

  function colors() {
    const style = getComputedStyle(document.documentElement);
    return (name) => style.getPropertyValue(name).trim();
  }

  function rgb(text) {
    const hex = text.replace("#", "");
    return [0, 2, 4].map((i) => parseInt(hex.slice(i, i + 2), 16));
  }

  /* 256 colours through equally spaced stops. */
  function ramp(stops) {
    const table = new Uint8ClampedArray(256 * 3);
    for (let i = 0; i < 256; i += 1) {
      const place = (i / 255) * (stops.length - 1);
      const k = Math.min(stops.length - 2, Math.floor(place));
      for (let c = 0; c < 3; c += 1) table[3 * i + c] = stops[k][c] + (stops[k + 1][c] - stops[k][c]) * (place - k);
    }
    return table;
  }

  function clock(seconds) {
    const tenths = Math.max(0, Math.floor(seconds * 10 + 1e-6));
    const rest = tenths % 600;
    return `${Math.floor(tenths / 600)}:${rest < 100 ? "0" : ""}${(rest / 10).toFixed(1)}`;
  }
  G.clock = clock;

  class Timeline {
    constructor(data, actions) {
      this.data = data;
      this.actions = actions;
      this.start = data.versions[0].start;
      this.seconds = data.versions[0].seconds;
      this.lanes = document.getElementById("lanes");
      this.wave = document.getElementById("wave");
      this.map = document.getElementById("map");
      this.cursor = document.getElementById("cursor");
      this.area = document.getElementById("loop-area");
      this.readout = document.getElementById("readout");
      this.mode = data.maps && !data.maps.target ? "level" : "error";
      this.version = 0;
      this.position = 0;
      this.pointed = false;
      this.buffer = null;
      this.levels = data.maps ? data.maps.levels.map((text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0))) : [];
      this._listen();
      this._ticks();
    }

    _listen() {
      let from = null;
      const at = (event) => {
        const box = this.lanes.getBoundingClientRect();
        return (Math.max(0, Math.min(1, (event.clientX - box.left) / box.width)) * this.seconds);
      };
      this.lanes.addEventListener("pointerdown", (event) => {
        if (event.button !== 0) return;
        from = { x: event.clientX, at: at(event), touch: event.pointerType === "touch" };
        if (!from.touch) this.lanes.setPointerCapture(event.pointerId);
      });
      this.lanes.addEventListener("pointermove", (event) => {
        this._read(event, at(event));
        if (from === null || from.touch || Math.abs(event.clientX - from.x) < DRAG) return;
        this.showRegion({ from: Math.min(from.at, at(event)), to: Math.max(from.at, at(event)) });
      });
      this.lanes.addEventListener("pointerup", (event) => {
        if (from === null) return;
        const to = at(event);
        if (Math.abs(event.clientX - from.x) < DRAG) this.actions.seek(to);
        else if (!from.touch) this.actions.loop({ from: Math.min(from.at, to), to: Math.max(from.at, to) });
        from = null;
      });
      this.lanes.addEventListener("pointercancel", () => {
        from = null;
      });
      this.lanes.addEventListener("pointerleave", () => this._readNothing());
      new ResizeObserver(() => this.draw()).observe(this.lanes);
      matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.draw());
    }

    _ticks() {
      const row = document.getElementById("ticks");
      const steps = [0.5, 1, 2, 5, 10, 20, 30, 60, 120];
      const step = steps.find((s) => this.seconds / s <= 9) || 300;
      row.textContent = "";
      for (let t = Math.ceil(this.start / step) * step; t <= this.start + this.seconds; t += step) {
        const tick = G.html("span", "", clock(t).replace(/\.0$/, ""), row);
        tick.style.left = `${((t - this.start) / this.seconds) * 100}%`;
      }
      const labels = document.getElementById("frequencies");
      if (!labels) return;
      const { low, high } = this.data.maps;
      [[100, "100"], [1000, "1k"], [10000, "10k"]].forEach(([hz, text]) => {
        G.html("span", "", text, labels).style.bottom = `${(Math.log(hz / low) / Math.log(high / low)) * 100}%`;
      });
    }

    setVersion(version, buffer) {
      this.version = version;
      if (buffer) this.buffer = buffer;
      this.draw();
    }

    setMode(mode) {
      this.mode = mode;
      this.draw();
    }

    draw() {
      const width = Math.round(this.lanes.clientWidth * (window.devicePixelRatio || 1));
      if (!width) return;
      this._drawWave(width);
      if (this.map) this._drawMap(width);
    }

    _drawWave(width) {
      const canvas = this.wave;
      const height = Math.round(72 * (window.devicePixelRatio || 1));
      canvas.width = width;
      canvas.height = height;
      if (this.buffer === null) return;
      const paint = canvas.getContext("2d");
      const version = this.data.versions[this.version];
      const color = colors();
      paint.fillStyle = color(`--v${this.version % 8}`) || color("--ink");
      const channels = Array.from({ length: this.buffer.numberOfChannels }, (_, i) => this.buffer.getChannelData(i));
      const samples = this.buffer.length;
      const gain = version.restore;
      const stride = Math.max(1, Math.floor(samples / width / 220));
      for (let x = 0; x < width; x += 1) {
        let peak = 0;
        const end = Math.floor(((x + 1) * samples) / width);
        for (let i = Math.floor((x * samples) / width); i < end; i += stride) {
          for (const channel of channels) peak = Math.max(peak, Math.abs(channel[i]));
        }
        const half = Math.min(1, peak * gain) * (height / 2 - 1);
        paint.fillRect(x, height / 2 - half, 1, Math.max(1, 2 * half));
      }
    }

    _code(version, index) {
      if (this.mode === "level" || version === 0) return this.levels[version][index];
      const { floor } = this.data.maps;
      const error = ((this.levels[version][index] - this.levels[0][index]) * -floor) / 255;
      return Math.round(127.5 + (Math.max(-ERROR_DB, Math.min(ERROR_DB, error)) * 127.5) / ERROR_DB);
    }

    _drawMap(width) {
      const { columns, bands } = this.data.maps;
      const color = colors();
      const error = this.mode === "error" && this.version > 0;
      const stops = ["--low", "--middle", "--high"];
      const table = ramp((error ? stops : ["--l0", "--l1", "--l2", "--l3", "--l4"]).map((name) => rgb(color(name))));
      const small = document.createElement("canvas");
      small.width = columns;
      small.height = bands;
      const paint = small.getContext("2d");
      const image = paint.createImageData(columns, bands);
      for (let band = 0; band < bands; band += 1) {
        for (let column = 0; column < columns; column += 1) {
          const code = this._code(this.version, band * columns + column);
          const place = 4 * ((bands - 1 - band) * columns + column);
          image.data[place] = table[3 * code];
          image.data[place + 1] = table[3 * code + 1];
          image.data[place + 2] = table[3 * code + 2];
          image.data[place + 3] = 255;
        }
      }
      paint.putImageData(image, 0, 0);
      this.map.width = width;
      this.map.height = Math.round(200 * (window.devicePixelRatio || 1));
      const target = this.map.getContext("2d");
      target.imageSmoothingEnabled = true;
      target.drawImage(small, 0, 0, this.map.width, this.map.height);
      this._describe(error);
    }

    _describe(error) {
      const names = this.data.versions.map((v) => v.name);
      const own = names[this.version];
      const scale = document.getElementById("scale");
      scale.className = error ? "scale error" : "scale level";
      scale.dataset.low = error ? `${ERROR_DB} dB ${this._side(-1)}` : `${G.signed(this.data.maps.floor)} dB`;
      scale.dataset.high = error ? `${ERROR_DB} dB ${this._side(1)}` : "0 dB";
      const mean = this.data.maps.error[this.version];
      const words = error
        ? `${this.data.maps.target ? "Error" : "Difference"} of the ${own} against the ${names[0]}: on average ${mean.toFixed(1)} dB.`
        : `Level of the ${own} over time and frequency.`;
      this.map.setAttribute("aria-label", words);
      this.words = words;
      this._readPosition();
    }

    /* What a difference from the first version is called, which need not be an error. */
    _side(difference) {
      const [soft, loud] = this.data.maps.target ? ["too soft", "too loud"] : ["softer", "louder"];
      return difference < 0 ? soft : loud;
    }

    _hertz(hz) {
      return hz >= 1000 ? `${(hz / 1000).toFixed(1)} kHz` : `${Math.round(hz)} Hz`;
    }

    _level(version, index) {
      const { floor } = this.data.maps;
      return floor + (this.levels[version][index] * -floor) / 255;
    }

    /* The whole song, and the moment at the cursor: how large the error is there, and where it is largest. */
    _readPosition() {
      if (!this.readout || this.pointed) return;
      if (this.version === 0 || this.mode === "level") {
        this._say(this.words || "");
        return;
      }
      const { columns, bands, low, high } = this.data.maps;
      const column = Math.min(columns - 1, Math.floor((this.position / this.seconds) * columns));
      const errors = Array.from({ length: bands }, (_, band) => {
        const index = band * columns + column;
        return this._level(this.version, index) - this._level(0, index);
      });
      const mean = errors.reduce((sum, error) => sum + Math.abs(error), 0) / bands;
      const most = errors.reduce((best, error, band) => (Math.abs(error) > Math.abs(errors[best]) ? band : best), 0);
      const where = this._hertz(low * (high / low) ** ((most + 0.5) / bands));
      const worst = mean < 0.05 ? "" : `, most at ${where}, ${Math.abs(errors[most]).toFixed(0)} dB ${this._side(errors[most])}`;
      this._say(`${this.words} At ${clock(this.start + this.position)} it is ${mean.toFixed(1)} dB${worst}.`);
    }

    _say(text) {
      if (this.readout.textContent !== text) this.readout.textContent = text;
    }

    _readNothing() {
      this.pointed = false;
      this._readPosition();
    }

    _read(event, at) {
      if (!this.map || event.pointerType === "touch") return;
      const box = this.map.getBoundingClientRect();
      if (event.clientY < box.top || event.clientY > box.bottom) {
        this._readNothing();
        return;
      }
      this.pointed = true;
      const { columns, bands, low, high } = this.data.maps;
      const place = 1 - (event.clientY - box.top) / box.height;
      const hz = low * (high / low) ** place;
      const band = Math.min(bands - 1, Math.floor(place * bands));
      const column = Math.min(columns - 1, Math.floor((at / this.seconds) * columns));
      const index = band * columns + column;
      const where = `${clock(this.start + at)}, ${this._hertz(hz)}`;
      const error = this._level(this.version, index) - this._level(0, index);
      const own = `${G.signed(this._level(this.version, index).toFixed(0))} dB`;
      const against = this.version ? `, ${error >= 0 ? "+" : "−"}${Math.abs(error).toFixed(1)} dB against the ${this.data.versions[0].name}` : "";
      this._say(`${where}: ${own}${against}`);
    }

    showPosition(at) {
      this.position = Math.max(0, Math.min(this.seconds, at));
      this._readPosition();
      this.cursor.style.left = `${(this.position / this.seconds) * 100}%`;
    }

    showRegion(region) {
      this.area.hidden = region === null;
      if (region === null) return;
      this.area.style.left = `${(region.from / this.seconds) * 100}%`;
      this.area.style.width = `${((region.to - region.from) / this.seconds) * 100}%`;
    }
  }

  G.Timeline = Timeline;
})(window.Graphmix);
