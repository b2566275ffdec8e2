// The page's pure modules, tested without a page: in node where there is one, else in Chromium (test_modules.py).

const at = new URL("../../src/labels2masks/page/static/", import.meta.url);
const [state, view, tools, palette, overlay, outbox, api] = await Promise.all(
  ["state", "view", "tools", "palette", "overlay", "outbox", "api"].map((name) => import(new URL(`${name}.js`, at))),
);

function same(got, wanted) {
  const [a, b] = [JSON.stringify(got), JSON.stringify(wanted)];
  if (a !== b) throw new Error(`got ${a}, wanted ${b}`);
}

const mark = (id, order = 0, more = {}) => ({
  id,
  kind: "point",
  name: "cat",
  negative: false,
  xy: [[1, 2]],
  order,
  ...more,
});
const ids = (marks) => marks.map((m) => m.id).join("");
const random = (seed) => () => (seed = (seed * 1103515245 + 12345) % 2147483648) / 2147483648;

/** Any change to any marks: some go, some come. */
function anyChange(marks, chance, name) {
  const remove = marks.filter(() => chance() < 0.4).map((m) => m.id);
  const add = Array.from({ length: Math.floor(chance() * 3) }, (_, k) => mark(`${name}${k}`, 100 * chance()));
  return { add, remove };
}

function anyMarks(chance) {
  return Array.from({ length: 4 }, (_, k) => mark(`m${k}`, k)).filter(() => chance() < 0.7);
}

export const tests = {
  "undo takes every change back, and redo does it again"() {
    const chance = random(1);
    for (let turn = 0; turn < 300; turn++) {
      const seen = [anyMarks(chance)];
      const history = new state.History();
      for (const name of "abc") {
        const change = anyChange(seen.at(-1), chance, name);
        history.done(seen.at(-1), change);
        seen.push(state.applied(seen.at(-1), change));
      }
      let marks = seen.at(-1);
      for (const k of [2, 1, 0]) same((marks = state.applied(marks, history.undo())), seen[k]);
      same(history.undo(), state.NOTHING);
      for (const k of [1, 2, 3]) same((marks = state.applied(marks, history.redo())), seen[k]);
    }
  },

  "two changes sent as one do the same"() {
    const chance = random(2);
    for (let turn = 0; turn < 500; turn++) {
      const marks = anyMarks(chance);
      const first = anyChange(marks, chance, "a");
      const between = state.applied(marks, first);
      const second = turn % 2 ? state.inverse(marks, first) : anyChange(between, chance, "b");
      same(ids(state.applied(marks, state.combined(first, second))), ids(state.applied(between, second)));
    }
  },

  "a change after an undo forgets what was undone"() {
    const history = new state.History();
    history.done([], { add: [mark("a")], remove: [] });
    history.undo();
    history.done([], { add: [mark("b")], remove: [] });
    same([history.canRedo, history.canUndo], [false, true]);
  },

  "what another tab has removed can not be removed again"() {
    same(state.possible([mark("a")], { add: [mark("a")], remove: ["b"] }), { add: [], remove: [] });
  },

  "questions are asked of marked classes first, never of the background or of what is absent"() {
    const classes = ["ground", "cat", "cup", "coin", "dog"].map((name) => ({ name, background: name === "ground" }));
    const marks = [mark("a", 0, { name: "coin" }), mark("b", 1, { name: "dog", kind: "tag", negative: true, xy: [] })];
    same(state.openQuestions(classes, marks, { cup: "some" }), ["coin", "cat"]);
  },

  "the last tag of a class counts"() {
    const tag = (id, negative) => mark(id, 0, { kind: "tag", negative, xy: [] });
    same(
      [
        state.tagOf([tag("a", true), tag("b", false)], "cat"),
        state.tagOf([tag("a", true)], "cat"),
        state.tagOf([], "cat"),
      ],
      ["present", "absent", null],
    );
  },

  "seconds leave out what is longer than a minute"() {
    const watch = new state.Stopwatch();
    watch.restart(100);
    watch.touch(102);
    watch.touch(163);
    same([watch.take(164.5), watch.take(165)], [3.5, 0.5]);
  },

  "zooming leaves the place under the pointer where it is"() {
    const [photo, stage] = [
      { width: 300, height: 200 },
      { width: 800, height: 600 },
    ];
    const fitted = view.fitted(photo, stage);
    same(fitted, { scale: 2.56, x: 16, y: 44 });
    const near = view.toPhoto(fitted, [200, 300]);
    const after = view.toPhoto(view.zoomed(fitted, 3, [200, 300], photo, stage), [200, 300]);
    same(
      after.map((v) => v.toFixed(6)),
      near.map((v) => v.toFixed(6)),
    );
    same(view.toScreen(fitted, view.toPhoto(fitted, [123, 45])).map(Math.round), [123, 45]);
    same(view.panned(fitted, 1e6, -1e6, photo, stage), { scale: 2.56, x: 740, y: 60 - 200 * 2.56 });
  },

  "a photo is asked for as large as it is shown, never larger than it is"() {
    const photo = { width: 6000, height: 4000 };
    same(
      [0.1, 0.3, 0.6, 1, 8].map((scale) => view.sideFor({ scale }, photo)),
      [1024, 2048, 4096, 6000, 6000],
    );
    same(view.sideFor({ scale: 5 }, { width: 208, height: 160 }), 208);
  },

  "each tool draws its mark"() {
    const options = { width: 5, near: 4 };
    const drawn = (tool, ...events) => {
      let draft = null;
      let mark = null;
      for (const [type, ...xy] of events) {
        ({ draft, mark } = tools.STEPS[tool](draft, { type, xy }, options));
        if (mark) break;
      }
      return mark;
    };
    same(drawn("point", ["hover", 1, 1], ["down", 3, 4]), { kind: "point", xy: [[3, 4]] });
    same(drawn("scribble", ["down", 0, 0], ["move", 10, 0], ["move", 20, 0], ["up", 20, 10]), {
      kind: "scribble",
      xy: [
        [0, 0],
        [20, 0],
        [20, 10],
      ],
      width: 5,
    });
    same(drawn("scribble", ["down", 5, 5], ["up", 5, 5]), { kind: "scribble", xy: [[5, 5]], width: 5 });
    same(drawn("box", ["down", 30, 20], ["move", 10, 40], ["up", 10, 40]), {
      kind: "box",
      xy: [
        [10, 20],
        [30, 40],
      ],
    });
    same(drawn("box", ["down", 1, 2], ["up", 1, 2], ["hover", 5, 5], ["down", 9, 8]), {
      kind: "box",
      xy: [
        [1, 2],
        [9, 8],
      ],
    });
    same(drawn("box", ["down", 1, 2], ["up", 1, 2], ["down", 1, 2]), null);
    const extremes = [
      ["down", 5, 9],
      ["up", 5, 9],
      ["down", 0, 4],
      ["down", 6, 0],
      ["down", 9, 5],
    ];
    same(drawn("extreme", ...extremes), {
      kind: "extreme",
      xy: [
        [0, 4],
        [6, 0],
        [9, 5],
        [5, 9],
      ],
    });
    const corners = [["down", 0, 0], ["down", 20, 0], ["down", 30, 30], ["back"], ["down", 20, 20]];
    same(drawn("polygon", ...corners, ["down", 1, 1]), {
      kind: "polygon",
      xy: [
        [0, 0],
        [20, 0],
        [20, 20],
      ],
    });
    same(drawn("polygon", ...corners, ["finish"]), {
      kind: "polygon",
      xy: [
        [0, 0],
        [20, 0],
        [20, 20],
      ],
    });
    same(drawn("polygon", ["down", 0, 0], ["down", 20, 0], ["finish"]), null);
  },

  "a mark is found by its line, its ink or its corner"() {
    const line = mark("line", 0, {
      kind: "scribble",
      xy: [
        [0, 0],
        [10, 0],
      ],
      width: 4,
    });
    const box = mark("box", 1, {
      kind: "box",
      xy: [
        [20, 20],
        [40, 40],
      ],
    });
    const ring = mark("ring", 2, {
      kind: "region",
      polygons: [
        [
          [
            [60, 60],
            [80, 60],
            [70, 90],
          ],
        ],
      ],
      xy: [],
    });
    const found = (x, y) =>
      tools.nearest([line, box, ring, mark("tag", 3, { kind: "tag", xy: [] })], [x, y], 2)?.id ?? null;
    same(
      [found(5, 3.5), found(5, 5), found(41, 30), found(30, 30), found(70, 59)],
      ["line", null, "box", null, "ring"],
    );
  },

  "thinning keeps the line within its tolerance"() {
    const circle = Array.from({ length: 200 }, (_, k) => [50 * Math.cos(k / 32), 50 * Math.sin(k / 32)]);
    const few = tools.thinned(circle, 0.5);
    const far = Math.max(
      ...circle.map((p) => Math.min(...few.slice(1).map((b, k) => tools.distanceToSegment(p, few[k], b)))),
    );
    same([few.length < 40, far <= 0.5, few[0] === circle[0], few.at(-1) === circle.at(-1)], [true, true, true, true]);
  },

  "writing on any class colour has a contrast of 4.5 or more"() {
    for (const r of [0, 60, 120, 180, 255])
      for (const g of [0, 60, 120, 180, 255])
        for (const b of [0, 120, 255]) {
          const [one, two] = [palette.luminance([r, g, b]), palette.luminance(palette.rgb(palette.inkOn([r, g, b])))];
          const contrast = (Math.max(one, two) + 0.05) / (Math.min(one, two) + 0.05);
          if (contrast < 4.5) throw new Error(`${[r, g, b]}: ${contrast}`);
        }
  },

  "colour-blind colours are all different, the background is grey"() {
    const classes = Array.from({ length: 15 }, (_, k) => ({ name: `c${k}`, colour: "#123456", background: k === 0 }));
    const made = palette.colours(classes, true);
    same([new Set(made).size, made[0], palette.colours(classes, false)[3]], [15, "#8a8a8a", "#123456"]);
    same(palette.hex(palette.rgb("#0a64ff")), "#0a64ff");
  },

  "masks are coloured by class, undecided pixels are left to the stripes"() {
    const mask = {
      width: 3,
      height: 1,
      index: Uint8Array.of(1, 255, 0),
      sure: Uint8Array.of(255, 9, 0),
      truth: Uint8Array.of(1, 0, 1),
    };
    const colours = [
      [1, 2, 3],
      [9, 8, 7],
    ];
    same([...overlay.coloured(mask, colours, { faint: 0 })], [9, 8, 7, 255, 0, 0, 0, 0, 1, 2, 3, 22]);
    same(
      [...overlay.coloured(mask, colours, { only: 0 })].filter((_, k) => k % 4 === 3),
      [0, 0, 255],
    );
    same(
      [...overlay.undecided(mask)].filter((_, k) => k % 4 === 3),
      [0, 255, 0],
    );
    same([...overlay.mistakes(mask, colours)], [0, 0, 0, 0, 1, 2, 3, 235, 9, 8, 7, 235]);
    same(overlay.shares(mask, ["a", "b"]), { undecided: 1 / 3, of: { a: 1 / 3, b: 1 / 3 } });
  },

  async "what could not be sent is sent again, once, in order, and survives the page"() {
    let [kept, alive] = [null, true];
    const wait = [];
    const sent = [];
    const post = async (path, body) => {
      if (!alive) throw new api.Unreachable();
      sent.push([path, ids(body.add ?? []), (body.remove ?? []).join("")]);
      return { version: sent.length };
    };
    const made = () =>
      new outbox.Outbox({
        post,
        store: {
          read: () => kept,
          write: (text) => {
            kept = text;
          },
        },
        indexOf: (name) => ["p", "q"].indexOf(name),
        versionOf: () => 0,
        later() {},
        told: { saved() {}, conflict() {}, refused() {}, state: (s) => wait.push(s) },
      });
    const box = made();
    const add = (id) => ({ change: { add: [mark(id)], remove: [] } });
    box.add("p", add("a"));
    await box.idle();
    alive = false;
    box.add("p", add("b"));
    await box.idle();
    box.add("p", add("c"));
    box.add("q", add("d"));
    box.add("p", { change: { add: [], remove: ["c"] } });
    await box.idle();
    same([box.size, wait.at(-1), ids(box.waiting("p").change.add)], [3, "lost", "b"]);
    alive = true;
    const again = made();
    again.restore();
    await again.flush();
    same(sent, [
      ["/api/photos/0/marks", "a", ""],
      ["/api/photos/0/marks", "b", ""],
      ["/api/photos/1/marks", "d", ""],
    ]);
    same([again.size, kept], [0, null]);
  },

  async "a mark that another tab removed is not removed twice, and ours is added"() {
    const sent = [];
    const post = async (path, body) => {
      sent.push(body);
      if (sent.length === 1) throw new api.Refused(409, { version: 7, marks: [mark("theirs")] });
      return { version: 8 };
    };
    const seen = [];
    const box = new outbox.Outbox({
      post,
      store: { read: () => null, write() {} },
      indexOf: () => 0,
      versionOf: () => 3,
      told: { saved: (_, v) => seen.push(v), conflict: (_, f) => seen.push(ids(f.marks)), refused() {}, state() {} },
    });
    box.add("p", { change: { add: [mark("ours")], remove: ["gone"] } });
    await box.idle();
    same([sent.map((b) => b.base), sent[1].remove, ids(sent[1].add), seen], [[3, 7], [], "ours", ["theirs", 8]]);
  },
};
