/** Where tiles go: plain arithmetic over rectangles in CSS pixels. */

const GAP = 10;
const PICTURE_ASPECT = 16 / 9;

/** How far a tile may leave 16:9 to fill the space. Wider apart: fuller screens, but faces are cut off. */
const MIN_ASPECT = 4 / 3;
const MAX_ASPECT = 2.1;

/** Below this width a tile is no use; the stage scrolls instead. */
const MIN_TILE_WIDTH = 150;

/** Share of the stage that the strip beside a large picture takes, and its bounds in pixels. */
const STRIP_SHARE = 0.22;
const STRIP_BOUNDS = [110, 300];

/** Share of the stage that the rows below a large picture take at most; the others are scrolled to. */
const MAX_ROWS_SHARE = 0.45;

/** How far a large picture may leave 16:9 on a telephone. Lower: faces are cut off. Higher: it is a stripe. */
const MIN_LARGE_ASPECT = 0.85;

/** Below this width the strip is below the large picture, not beside it. */
const NARROW = 700;

/**
 * @typedef {{x: number, y: number, width: number, height: number}} Rectangle
 * @typedef {{places: Map<string, Rectangle>, height: number}} Arrangement `height`: of all, may exceed the stage
 */

/**
 * Tiles of equal size that fill the stage as well as pictures can.
 *
 * @param {{width: number, height: number}} stage
 * @param {string[]} ids in order
 * @returns {Arrangement}
 */
export function arrangeGrid(stage, ids) {
  return { ...fill({ x: 0, y: 0, ...stage }, ids) };
}

/**
 * Some tiles large, the others in a strip beside them or in rows below.
 *
 * @param {{width: number, height: number}} stage
 * @param {string[]} ids all of them, in order
 * @param {string[]} large which are large
 * @param {boolean} areWhole the large ones are screens: nothing of them may be cut off
 * @returns {Arrangement}
 */
export function arrangeLarge(stage, ids, large, areWhole) {
  const small = ids.filter((id) => !large.includes(id));
  if (!small.length || !large.length) return arrangeGrid(stage, ids);
  return stage.width < NARROW ? below(stage, large, small, areWhole) : beside(stage, large, small);
}

function beside(stage, large, small) {
  const strip = Math.min(Math.max(stage.width * STRIP_SHARE, STRIP_BOUNDS[0]), STRIP_BOUNDS[1]);
  const main = fill({ x: 0, y: 0, width: stage.width - strip - GAP, height: stage.height }, large, 0, Infinity);
  const others = stack({ x: stage.width - strip, y: 0, width: strip, height: stage.height }, small);
  return { places: new Map([...main.places, ...others.places]), height: Math.max(others.height, stage.height) };
}

function below(stage, large, small, areWhole) {
  const width = (stage.width - GAP) / 2;
  const rows = pairs(small, width, width / PICTURE_ASPECT);
  const rest = stage.height - Math.min(rows.height, stage.height * MAX_ROWS_SHARE) - GAP;
  const height = Math.min(rest, stage.width / (areWhole ? PICTURE_ASPECT : MIN_LARGE_ASPECT));
  const total = height + GAP + rows.height;
  const top = Math.max(0, (stage.height - total) / 2);
  const { places } = fill({ x: 0, y: top, width: stage.width, height }, large, 0, Infinity);
  for (const [id, place] of rows.places) places.set(id, round({ ...place, y: top + height + GAP + place.y }));
  return { places, height: Math.max(total, stage.height) };
}

/** Two in a row; a last one alone in the middle. */
function pairs(ids, width, height) {
  const places = new Map();
  for (const [index, id] of ids.entries()) {
    const isAlone = index === ids.length - 1 && index % 2 === 0;
    const x = isAlone ? (width + GAP) / 2 : (index % 2) * (width + GAP);
    places.set(id, { x, y: Math.floor(index / 2) * (height + GAP), width, height });
  }
  return { places, height: Math.ceil(ids.length / 2) * (height + GAP) - GAP };
}

/** One below the other, as high as the width asks; centred while they fit. */
function stack(box, ids) {
  const tile = Math.min(box.width / PICTURE_ASPECT, Math.max((box.height - GAP * (ids.length - 1)) / ids.length, 84));
  const total = ids.length * tile + GAP * (ids.length - 1);
  const top = box.y + Math.max(0, (box.height - total) / 2);
  const places = new Map();
  for (const [index, id] of ids.entries()) {
    places.set(id, round({ x: box.x, y: top + index * (tile + GAP), width: box.width, height: tile }));
  }
  return { places, height: Math.max(total, 0) };
}

/** Rows of equal tiles, the last row centred, the whole centred; the column count that shows the largest pictures. */
function fill(box, ids, minAspect = MIN_ASPECT, maxAspect = MAX_ASPECT) {
  let best = null;
  for (let columns = 1; columns <= ids.length; columns += 1) {
    const rows = Math.ceil(ids.length / columns);
    let width = (box.width - GAP * (columns - 1)) / columns;
    let height = (box.height - GAP * (rows - 1)) / rows;
    if (columns > 1 && width < MIN_TILE_WIDTH) break;
    if (height < MIN_TILE_WIDTH / PICTURE_ASPECT) height = width / PICTURE_ASPECT;
    height = Math.min(height, width / minAspect || height);
    width = Math.min(width, height * maxAspect);
    const shown = Math.min(width, height * PICTURE_ASPECT) * Math.min(height, width / PICTURE_ASPECT);
    const overflow = Math.max(0, rows * (height + GAP) - GAP - box.height);
    if (best === null || shown / (1 + overflow) > best.score) {
      best = { columns, rows, width, height, score: shown / (1 + overflow) };
    }
  }
  const places = new Map();
  if (best === null) return { places, height: box.height };
  const { columns, rows, width, height } = best;
  const total = rows * (height + GAP) - GAP;
  const top = box.y + Math.max(0, (box.height - total) / 2);
  for (const [index, id] of ids.entries()) {
    const row = Math.floor(index / columns);
    const inRow = Math.min(columns, ids.length - row * columns);
    const left = box.x + (box.width - inRow * (width + GAP) + GAP) / 2;
    places.set(
      id,
      round({ x: left + (index % columns) * (width + GAP), y: top + row * (height + GAP), width, height }),
    );
  }
  return { places, height: Math.max(total, box.height) };
}

function round({ x, y, width, height }) {
  return { x: Math.round(x), y: Math.round(y), width: Math.floor(width), height: Math.floor(height) };
}
