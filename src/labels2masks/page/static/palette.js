// Colours of classes and of confidence. Pure: RGB triples in, RGB triples out.

// Okabe and Ito (2008), "Color Universal Design": told apart with every common kind of colour blindness. Grey is for
// the background; a ninth class and those that follow take the colours again, darker.
const OKABE_ITO = ["#e69f00", "#56b4e9", "#009e73", "#f0e442", "#0072b2", "#d55e00", "#cc79a7"];
const GROUND = "#8a8a8a";

export const rgb = (hex) => [1, 3, 5].map((k) => parseInt(hex.slice(k, k + 2), 16));
export const hex = (colour) => "#" + colour.map((v) => Math.round(v).toString(16).padStart(2, "0")).join("");

/** The colour of every class, as "#rrggbb". classes: [{colour, background}]. */
export function colours(classes, colourBlind) {
  if (!colourBlind) return classes.map((c) => c.colour);
  let next = 0;
  return classes.map((c) => {
    if (c.background) return GROUND;
    const [turn, k] = [Math.floor(next / OKABE_ITO.length), next++ % OKABE_ITO.length];
    return hex(rgb(OKABE_ITO[k]).map((v) => v * 0.62 ** turn));
  });
}

/** Relative luminance, WCAG 2.2. */
export function luminance(colour) {
  const [r, g, b] = colour.map((v) => (v / 255 <= 0.04045 ? v / 255 / 12.92 : ((v / 255 + 0.055) / 1.055) ** 2.4));
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}

/** Black or white, whichever is read better on the colour; at least 4.5 to 1 on any. */
export const inkOn = (colour) => (luminance(colour) > 0.179 ? "#000000" : "#ffffff");

// From unsure to sure: orange over sand to blue, which no colour blindness merges.
const RAMP = ["#b3400f", "#dc7f33", "#e8bd74", "#9fb9c4", "#4a86ad", "#1d4f7c"].map(rgb);

/** The colour of a confidence in 0..1, as an RGB triple. */
export function ofConfidence(share) {
  const at = Math.min(Math.max(share, 0), 1) * (RAMP.length - 1);
  const low = Math.min(Math.floor(at), RAMP.length - 2);
  return RAMP[low].map((v, k) => v + (at - low) * (RAMP[low + 1][k] - v));
}

/** The colour of a whole photo's confidence: hardly a photo is below a half, so the colours begin there. */
export const ofPhoto = (share) => hex(ofConfidence(2 * share - 1));

/** A colour for a class to come: as far from those there are as one of 24 hues can be. */
export function freeColour(taken) {
  const hues = Array.from({ length: 24 }, (_, k) => ofHue(k / 24, k % 2 ? 0.42 : 0.55));
  const room = (colour) => Math.min(...taken.map((t) => Math.hypot(...rgb(t).map((v, k) => v - colour[k]))), 1e9);
  return hex(hues.reduce((best, colour) => (room(colour) > room(best) ? colour : best)));
}

function ofHue(hue, light, saturation = 0.75) {
  const reach = saturation * Math.min(light, 1 - light);
  const channel = (n) => {
    const k = (n + hue * 12) % 12;
    return 255 * (light - reach * Math.max(-1, Math.min(k - 3, 9 - k, 1)));
  };
  return [channel(0), channel(8), channel(4)];
}
