"use strict";
/* Sounds of equal length that play in sync, of which one is heard.

   All voices start at one moment of the context, so that they stay in sync to the sample; switching moves their gains.
   Correlated sounds keep their level in a straight crossfade. A loop plays a copy of its region whose last few
   milliseconds are crossfaded into what lies before its beginning: it has no seam. */
window.Graphmix = window.Graphmix || {};
(function (G) {
  const FADE = 0.008;

  /* A gain that knows where it is while it moves. */
  class Fader {
    constructor(context, value) {
      this.node = context.createGain();
      this.node.gain.value = value;
      this.from = value;
      this.to = value;
      this.begin = 0;
      this.end = 0;
    }

    at(time) {
      if (time >= this.end) return this.to;
      if (time <= this.begin) return this.from;
      return this.from + ((this.to - this.from) * (time - this.begin)) / (this.end - this.begin);
    }

    ramp(value, when, seconds) {
      const now = this.at(when);
      const gain = this.node.gain;
      if (gain.cancelAndHoldAtTime) gain.cancelAndHoldAtTime(when);
      else gain.cancelScheduledValues(when);
      gain.setValueAtTime(now, when);
      gain.linearRampToValueAtTime(value, when + seconds);
      this.from = now;
      this.to = value;
      this.begin = when;
      this.end = when + seconds;
    }
  }

  class Deck {
    constructor(context, output) {
      this.context = context;
      this.output = output || context.destination;
      this.buffers = [];
      this.levels = [];
      this.selected = 0;
      this.region = null;
      this.run = null;
      this.offset = 0;
      this.onend = null;
    }

    setVoices(buffers, levels) {
      this.pause();
      this.buffers = buffers;
      this.levels = levels.slice();
      this.selected = Math.min(this.selected, buffers.length - 1);
      this.region = null;
      this.offset = 0;
    }

    get playing() {
      return this.run !== null;
    }

    get seconds() {
      return this.buffers.length ? this.buffers[0].duration : 0;
    }

    /* Where it plays, in seconds from the beginning of the sounds. */
    position(now) {
      if (this.run === null) return this.offset;
      const elapsed = Math.max(0, (now === undefined ? this.context.currentTime : now) - this.run.when);
      if (this.run.region === null) return Math.min(this.run.offset + elapsed, this.seconds);
      const { from, to } = this.run.region;
      return from + ((this.run.offset - from + elapsed) % (to - from));
    }

    play(offset, when) {
      const start = when === undefined ? this.context.currentTime + 0.005 : when;
      this._end(start);
      const region = this.region;
      let at = Math.max(0, Math.min(offset === undefined ? this.offset : offset, this.seconds));
      if (region !== null && (at < region.from || at >= region.to)) at = region.from;
      if (region === null && at >= this.seconds - 0.01) at = 0;
      const run = { when: start, offset: at, region, master: new Fader(this.context, 0), voices: [] };
      run.master.node.connect(this.output);
      this.buffers.forEach((buffer, i) => run.voices.push(this._voice(run, buffer, i)));
      run.master.ramp(1, start, FADE);
      this.run = run;
      if (run.voices.length && region === null) {
        run.voices[0].source.onended = () => {
          if (this.run === run) this._ended();
        };
      }
    }

    _voice(run, buffer, index) {
      const source = this.context.createBufferSource();
      source.buffer = run.region === null ? buffer : this._looped(buffer, run.region);
      const select = new Fader(this.context, index === this.selected ? 1 : 0);
      const level = new Fader(this.context, this.levels[index]);
      source.connect(select.node).connect(level.node).connect(run.master.node);
      if (run.region === null) {
        source.start(run.when, run.offset);
      } else {
        source.loop = true;
        source.start(run.when, run.offset - run.region.from);
      }
      return { source, select, level };
    }

    _looped(buffer, region) {
      const rate = buffer.sampleRate;
      const from = Math.round(region.from * rate);
      const length = Math.max(2, Math.round(region.to * rate) - from);
      const fade = Math.min(Math.round(FADE * rate), Math.floor(length / 2));
      const copy = this.context.createBuffer(buffer.numberOfChannels, length, rate);
      for (let channel = 0; channel < buffer.numberOfChannels; channel += 1) {
        const all = buffer.getChannelData(channel);
        const own = copy.getChannelData(channel);
        own.set(all.subarray(from, from + length));
        for (let i = length - fade; i < length; i += 1) {
          const share = (i - (length - fade) + 1) / (fade + 1);
          const before = from - (length - i);
          own[i] = (1 - share) * own[i] + share * (before >= 0 ? all[before] : 0);
        }
      }
      return copy;
    }

    _end(when) {
      const run = this.run;
      if (run === null) return;
      this.run = null;
      run.master.ramp(0, when, FADE);
      run.voices.forEach((voice) => voice.source.stop(when + FADE + 0.002));
    }

    _ended() {
      this.run = null;
      this.offset = 0;
      if (this.onend) this.onend();
    }

    pause(when) {
      if (this.run === null) return;
      const now = when === undefined ? this.context.currentTime : when;
      this.offset = this.position(now);
      this._end(now);
    }

    seek(offset) {
      this.offset = Math.max(0, Math.min(offset, this.seconds));
      if (this.playing) this.play(this.offset);
    }

    /* Let another voice be heard. */
    select(index, when) {
      this.selected = index;
      if (this.run === null) return;
      const now = when === undefined ? this.context.currentTime : when;
      this.run.voices.forEach((voice, i) => voice.select.ramp(i === index ? 1 : 0, now, FADE));
    }

    setLevels(levels, when) {
      this.levels = levels.slice();
      if (this.run === null) return;
      const now = when === undefined ? this.context.currentTime : when;
      this.run.voices.forEach((voice, i) => voice.level.ramp(levels[i], now, 2.5 * FADE));
    }

    /* Loop a region {from, to} in seconds, or nothing; it goes on where it is if that lies inside. */
    setRegion(region) {
      this.region = region;
      if (this.playing) this.play(this.position());
    }
  }

  G.FADE = FADE;
  G.Deck = Deck;
})(window.Graphmix);
