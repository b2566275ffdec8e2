// A cross on a canvas: open in the middle, bright between dark, so that it shows on any ground.

const ARMS = [
  [1, 0],
  [-1, 0],
  [0, 1],
  [0, -1],
];

/** gap: from the middle to where its arms begin, which are `long` pixels long. colour: of their heart. */
export function paintCross(context, [x, y], { gap = 5, long = 11, colour = "#ffffff" } = {}) {
  context.save();
  for (const [style, width] of Object.entries({ "#000000": 6.5, "#ffffff": 4.5, [colour]: 2.5 })) {
    context.strokeStyle = style;
    context.lineWidth = width;
    context.beginPath();
    for (const [dx, dy] of ARMS) {
      context.moveTo(x + dx * gap, y + dy * gap);
      context.lineTo(x + dx * (gap + long), y + dy * (gap + long));
    }
    context.stroke();
  }
  context.restore();
}
