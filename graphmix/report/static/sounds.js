"use strict";
/* The sounds that lie in the page, decoded when they are first needed. */
window.Graphmix = window.Graphmix || {};
(function (G) {
  class Sounds {
    constructor(rate) {
      this.rate = rate;
      this.decoder = null;
      this.known = new Map();
    }

    bytes(key) {
      const text = atob(document.getElementById(`sound-${key}`).textContent.trim());
      const bytes = new Uint8Array(text.length);
      for (let i = 0; i < text.length; i += 1) bytes[i] = text.charCodeAt(i);
      return bytes.buffer;
    }

    /* A promise of the AudioBuffer. An offline context decodes without asking for a gesture. */
    get(key) {
      if (!this.known.has(key)) {
        if (this.decoder === null) this.decoder = new OfflineAudioContext(2, 1, this.rate);
        this.known.set(key, this.decoder.decodeAudioData(this.bytes(key)));
      }
      return this.known.get(key);
    }
  }

  G.Sounds = Sounds;
})(window.Graphmix);
