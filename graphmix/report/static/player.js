"use strict";
/* The player: the versions in sync, solo of tracks, what goes into and comes out of a node. One of them plays. */
window.Graphmix = window.Graphmix || {};
(function (G) {
  const linear = (db) => 10 ** (db / 20);
  const LEAST_LOOP = 0.05;

  /* Gains in dB of pieces that are compared: matched to one loudness that clips none, or as they are. */
  function pairLevels(pieces) {
    const sounding = pieces.filter((p) => p.peak > 1e-6);
    const room = sounding.map((p) => p.lufs - 20 * Math.log10(p.peak));
    const common = sounding.length ? Math.min(sounding[0].lufs, ...room) : 0;
    const loudest = Math.max(0, ...pieces.map((p) => p.peak));
    const plain = loudest > 1 ? -20 * Math.log10(loudest) : 0;
    return pieces.map((p) => ({ matched: p.peak > 1e-6 ? common - p.lufs : 0, plain }));
  }
  G.pairLevels = pairLevels;

  class Player {
    constructor(data) {
      this.data = data;
      this.sounds = new G.Sounds(data.rate);
      this.context = null;
      this.version = 0;
      this.matched = true;
      this.region = null;
      this.looped = false;
      this.solo = null;
      this.resting = 0;
      this.buffers = null;
      this.listeners = [];
      this.ready = this._load();
    }

    async _load() {
      const first = await this.sounds.get(this.data.versions[0].key);
      this.timeline = new G.Timeline(this.data, {
        seek: (at) => this.seek(at),
        loop: (region) => this.setRegion(region, true),
      });
      this.timeline.setVersion(0, first);
      this.buffers = await Promise.all(this.data.versions.map((v) => this.sounds.get(v.key)));
    }

    get song() {
      return this.data.versions[0];
    }

    get playing() {
      return (this.main && this.main.playing) || (this.side && this.side.playing) || false;
    }

    /* Made at the first gesture, as browsers want it. */
    async wake() {
      if (this.context === null) {
        this.context = new AudioContext({ sampleRate: this.data.rate, latencyHint: "interactive" });
        this.main = new G.Deck(this.context);
        this.side = new G.Deck(this.context);
        this.main.onend = () => this._tell();
        this.side.onend = () => this._tell();
      }
      await this.ready;
      if (!this.main.buffers.length) {
        this.main.setVoices(this.buffers, this._levels());
        this.main.selected = this.version;
        this.main.offset = this.resting;
        this.main.setRegion(this.looped ? this.region : null);
      }
      if (this.context.state !== "running") await this.context.resume();
    }

    _levels() {
      return this.data.versions.map((v) => v.restore * linear(this.matched ? v.matched : v.plain));
    }

    onchange(listener) {
      this.listeners.push(listener);
    }

    _tell() {
      this.listeners.forEach((listener) => listener());
    }

    /* Seconds from the beginning of the versions, as it comes out of the loudspeaker. */
    position() {
      if (!this.main) return this.resting;
      const late = this.context.outputLatency || 0;
      return this.main.position(Math.max(0, this.context.currentTime - late));
    }

    async toggle() {
      if (this.playing) this.pause();
      else await this.play();
    }

    async play() {
      await this.wake();
      if (this.solo !== null) this.side.play();
      else this.main.play();
      this._tell();
    }

    pause() {
      if (this.main) this.main.pause();
      if (this.side) this.side.pause();
      this._tell();
    }

    seek(at) {
      const inside = Math.max(0, Math.min(at, this.song.seconds));
      this.resting = inside;
      if (this.solo !== null) this.endSolo();
      if (this.main) this.main.seek(inside);
      this._tell();
    }

    select(index) {
      if (index < 0 || index >= this.data.versions.length) return;
      this.version = index;
      if (this.main) this.main.select(index);
      if (this.buffers) this.timeline.setVersion(index, this.buffers[index]);
      else if (this.timeline) this.ready.then(() => this.timeline.setVersion(this.version, this.buffers[this.version]));
      this._tell();
    }

    setMatched(matched) {
      this.matched = matched;
      if (this.main) this.main.setLevels(this._levels());
      if (this.side && this.solo !== null) this.side.setLevels(this._sideLevels());
      this._tell();
    }

    setRegion(region, looped) {
      this.region = region !== null && region.to - region.from >= LEAST_LOOP ? region : null;
      this.looped = looped && this.region !== null;
      if (this.main && this.main.buffers.length) this.main.setRegion(this.looped ? this.region : null);
      if (this.looped && this.main && !this.main.playing) this.main.offset = this.region.from;
      if (this.looped && !this.main) this.resting = this.region.from;
      this._tell();
    }

    setLooped(looped) {
      const region = this.region || { from: 0, to: this.song.seconds };
      this.setRegion(region, looped);
    }

    /* Play pieces {key, label} in a loop instead of the versions, the chosen one heard. */
    async playSide(name, keys, chosen, track = null) {
      await this.wake();
      const same = this.solo !== null && this.solo.keys.join() === keys.join() && this.side.playing;
      if (same) {
        this.solo = { name, keys, chosen, track };
        this.side.select(chosen);
        this._tell();
        return;
      }
      this.main.pause();
      this.side.pause();
      this.solo = { name, keys, chosen, track };
      this._tell();
      const buffers = await Promise.all(keys.map((key) => this.sounds.get(key)));
      if (this.solo === null || this.solo.keys.join() !== keys.join()) return;
      this.side.setVoices(buffers, this._sideLevels());
      this.side.select(this.solo.chosen);
      this.side.setRegion({ from: 0, to: this.side.seconds });
      this.side.play(0);
      this._tell();
    }

    _sideLevels() {
      const pieces = this.solo.keys.map((key) => this.data.pieces[key]);
      const levels = pairLevels(pieces);
      return pieces.map((p, i) => p.restore * linear(this.matched ? levels[i].matched : levels[i].plain));
    }

    endSolo() {
      if (this.solo === null) return;
      this.solo = null;
      if (this.side) this.side.pause();
      this._tell();
    }
  }

  G.Player = Player;
})(window.Graphmix);
