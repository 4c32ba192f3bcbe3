/* Rules for the scripts of a page: plain scripts of one namespace, for browsers, without modules. */
const names = [
  "window", "document", "atob", "OfflineAudioContext", "AudioContext", "getComputedStyle", "matchMedia",
  "ResizeObserver", "requestAnimationFrame", "performance", "innerWidth",
];

export default [
  {
    files: ["**/*.js"],
    languageOptions: {
      ecmaVersion: 2022,
      sourceType: "script",
      globals: Object.fromEntries(names.map((name) => [name, "readonly"])),
    },
    rules: {
      complexity: ["error", 20],
      eqeqeq: "error",
      "no-dupe-keys": "error",
      "no-fallthrough": "error",
      "no-redeclare": "error",
      "no-shadow": "error",
      "no-undef": "error",
      "no-unreachable": "error",
      "no-unused-vars": "error",
      "no-var": "error",
      "prefer-const": "error",
    },
  },
];
