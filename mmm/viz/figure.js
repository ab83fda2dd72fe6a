// The mannequin in the browser: world joints → rotations of the bones → one smooth surface around tapered capsules
// (mannequin.json). As mmm/viz/body.py in Python. Used by player.html and by docs/demo.

export const add = (a, b, s = 1) => [a[0] + s * b[0], a[1] + s * b[1], a[2] + s * b[2]];
export const sub = (a, b) => add(a, b, -1);
export const dot = (a, b) => a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
export const cross = (a, b) => [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]];
export const unit = (a) => add([0, 0, 0], a, 1 / (Math.hypot(...a) || 1));
export const mix = (a, b, s) => a.map((value, i) => value + s * (b[i] - value));
export const median = (numbers) => {
  const sorted = Float64Array.from(numbers).sort();
  return sorted.length ? (sorted[(sorted.length - 1) >> 1] + sorted[sorted.length >> 1]) / 2 : 0;
};
// rotations are matrices of three rows
export const times = (m, v) => m.map((row) => dot(row, v));
export const transpose = (m) => m.map((_, i) => m.map((row) => row[i]));
export const product = (a, b) => transpose(transpose(b).map((column) => times(a, column)));
const EYE = [[1, 0, 0], [0, 1, 0], [0, 0, 1]];

/** The shortest rotation from one unit vector to another. */
function between(a, b) {
  const c = dot(a, b), axis = cross(a, b);
  if (c < -0.999999) { // half a turn about anything across
    const u = unit(cross(a, Math.abs(a[0]) < 0.9 ? EYE[0] : EYE[1]));
    return EYE.map((row, i) => row.map((one, j) => 2 * u[i] * u[j] - one));
  }
  const [x, y, z] = axis, f = 1 / (1 + c);
  return [[c + f * x * x, f * x * y - z, f * x * z + y], [f * x * y + z, c + f * y * y, f * y * z - x], [f * x * z - y, f * y * z + x, c + f * z * z]];
}

/** The rotation whose x axis is `across` and whose y axis lies nearest to `up`. */
function basis(across, up) {
  const x = Math.hypot(...across) ? unit(across) : EYE[0];
  let y = add(up, x, -dot(up, x));
  if (Math.hypot(...y) < 1e-6) y = EYE[1];
  y = unit(y);
  return transpose([x, y, cross(x, y)]);
}

/** A skeleton ({ joints, parents, left, right, rest }) with the bone lengths (medians) of a motion, frame by frame. */
export class Body {
  constructor(skeleton, joints) {
    Object.assign(this, { names: skeleton.joints, parents: skeleton.parents, count: skeleton.joints.length });
    this.left = new Set(skeleton.left);
    this.right = new Set(skeleton.right);
    this.children = this.names.map((_, joint) => this.parents.flatMap((parent, child) => (parent === joint ? [child] : [])));
    this.directions = skeleton.rest.map(unit);
    const frames = joints.length / this.count / 3;
    this.lengths = this.names.map((_, joint) => joint && median(Array.from({ length: frames }, (_, t) =>
      Math.hypot(...sub(this.point(joints, t, joint), this.point(joints, t, this.parents[joint]))))));
    this.offsets = this.directions.map((direction, joint) => add([0, 0, 0], direction, this.lengths[joint]));
    this.rest = this.places();
    // a pelvis and a chest have shapes of their own: where their bones begin and end, in the median
    const poses = Array.from({ length: frames }, (_, t) => this.pose(joints, t));
    this.offsets = this.offsets.map((offset, joint) => {
      const parent = this.parents[joint];
      if (parent < 0 || this.children[parent].length < 2) return offset;
      const seen = poses.map(({ at, rotations }) => times(transpose(rotations[parent]), sub(at[joint], at[parent])));
      return [0, 1, 2].map((axis) => median(seen.map((v) => v[axis])));
    });
    this.rest = this.places();
  }

  /** Places of the joints if the bones at each joint are turned so. */
  places(turns = this.names.map(() => EYE)) {
    const rest = [], place = (joint) => { // parents may come after their children
      const parent = this.parents[joint];
      return (rest[joint] ??= joint ? add(place(parent), times(turns[parent], this.offsets[joint])) : [0, 0, 0]);
    };
    this.names.forEach((_, joint) => place(joint));
    return rest;
  }

  named(name) {
    return this.names.indexOf(name);
  }

  point(joints, frame, joint) {
    const k = 3 * (frame * this.count + joint);
    return [joints[k], joints[k + 1], joints[k + 2]];
  }

  /** World rotations of all joints from the rest pose; joints do not show a bone's own twist. @param at world joints */
  turns(at) {
    const rotations = [];
    const turn = (joint) => {
      const [first, ...more] = this.children[joint], parent = rotations[this.parents[joint]] ?? EYE;
      if (first === undefined) rotations[joint] = parent;
      else if (more.length) { // pelvis and chest: left to right gives x, the spine y
        const side = this.children[joint].filter((child) => this.left.has(child) || this.right.has(child));
        const spine = this.children[joint].find((child) => !side.includes(child));
        const [a, b] = this.left.has(side[0]) ? side : [side[1], side[0]];
        const own = (place) => basis(sub(place[a], place[b]), sub(place[spine], place[joint]));
        rotations[joint] = product(own(at), transpose(own(this.rest)));
      } else rotations[joint] = product(between(times(parent, this.directions[first]), unit(sub(at[first], at[joint]))), parent);
      this.children[joint].forEach(turn);
    };
    turn(0);
    return rotations;
  }

  /** The pose of the skin: legs stand apart by an angle, so that they do not grow together. As `_spread` of body.py. */
  apart(angle) {
    if (this.skin?.angle === angle) return this.skin;
    const turns = [], turned = (joint) => (turns[joint] ??= joint === 0 ? EYE : this.parents[joint] ? turned(this.parents[joint]) : aside(joint));
    const aside = (joint) => {
      const side = this.left.has(joint) ? 1 : this.right.has(joint) ? -1 : 0, [c, s] = [Math.cos(angle * side), Math.sin(angle * side)];
      return [[c, -s, 0], [s, c, 0], [0, 0, 1]];
    };
    this.names.forEach((_, joint) => turned(joint));
    return (this.skin = { angle, turns, rest: this.places(turns) });
  }

  /** What carries the skin at each joint: rotation and shift. @param at world joints */
  bones(at, angle) {
    const { turns, rest } = this.apart(angle);
    return this.turns(at).map((own, joint) => {
      const turn = product(own, transpose(turns[joint]));
      return { turn, shift: sub(at[joint], times(turn, rest[joint])) };
    });
  }

  /** Joints and rotations of one frame. */
  pose(joints, frame) {
    const at = this.names.map((_, joint) => this.point(joints, frame, joint));
    return { at, rotations: this.turns(at) };
  }
}

const CELL = 0.018; // metres

/** The capsules of the table on these joints: carrying joint, ends, radii, depth; and the eyes as spheres. */
export function capsules(body, table) {
  const skin = body.apart(table.spread), leg = ["left_ankle", "left_knee"].map((name) => body.lengths[body.named(name)]);
  const size = Math.min(3, Math.max(0.3, (leg[0] + leg[1]) / table.leg)), own = table[body.count === 21 ? "kit" : "humanml3d"];
  const make = ([owner, a, b, ra, rb, flat], side, sign) => {
    const place = ([name, x, y, z]) => {
      const joint = body.named(name.replace("*", side));
      return add(skin.rest[joint], times(skin.turns[joint], [sign * x, y, z]), size);
    };
    return { owner: body.named(owner.replace("*", side)), a: place(a), b: place(b), ra: size * ra, rb: size * rb, flat };
  };
  const list = own.capsules.flatMap((row) => (JSON.stringify(row).includes("*") ? [make(row, "left", 1), make(row, "right", -1)] : [make(row, "", 1)]));
  const eyes = own.eyes.map(([owner, centre, radius]) => make([owner, centre, centre, radius, radius, 1], "", 1));
  return { list, eyes, size, blend: size * table.blend, share: size * table.share };
}

/** Signed distance of a point from a capsule that gets thinner from a to b. */
function distance({ a, b, ra, rb, flat }, p) {
  const d = sub(b, a), q = sub(p, a);
  const along = Math.min(1, Math.max(0, dot(q, d) / (dot(d, d) + 1e-12)));
  return Math.hypot(q[0] - along * d[0], q[1] - along * d[1], (q[2] - along * d[2]) / flat) - ra - along * (rb - ra);
}

/** The smooth union of all capsules (Quilez's polynomial minimum). */
function surface(list, blend, p) {
  let found = 1;
  for (const capsule of list) {
    const d = distance(capsule, p), h = Math.max(0, blend - Math.abs(found - d)) / blend;
    found = Math.min(found, d) - (h * h * blend) / 4;
  }
  return found;
}

/** The skinned surface of the rest pose: naive surface nets (Gibson 1998). @param colours { left, right, middle, eyes } */
export function mannequin(body, table, colours) {
  const { list, eyes, size, blend, share } = capsules(body, table);
  const ends = list.flatMap(({ a, b }) => [a, b]), room = 0.17 * size;
  const low = [0, 1, 2].map((i) => Math.min(...ends.map((p) => p[i])) - room), high = [0, 1, 2].map((i) => Math.max(...ends.map((p) => p[i])) + room);
  const cell = Math.max(CELL * size, Math.cbrt(high.reduce((all, one, i) => all * (one - low[i]), 1) / 5e5));
  const [nx, ny, nz] = high.map((one, i) => Math.ceil((one - low[i]) / cell) + 1);
  const index = (i, j, k) => (k * ny + j) * nx + i, place = (i, j, k) => [low[0] + i * cell, low[1] + j * cell, low[2] + k * cell];
  const values = new Float32Array(nx * ny * nz).fill(1), BLOCK = 4; // far blocks are skipped
  for (let k = 0; k < nz; k += BLOCK) for (let j = 0; j < ny; j += BLOCK) for (let i = 0; i < nx; i += BLOCK) {
    const centre = place(i + 1.5, j + 1.5, k + 1.5), near = list.filter((capsule) => distance(capsule, centre) < BLOCK * cell + blend);
    if (!near.length) continue;
    for (let c = k; c < Math.min(k + BLOCK, nz); c++) for (let b = j; b < Math.min(j + BLOCK, ny); b++)
      for (let a = i; a < Math.min(i + BLOCK, nx); a++) values[index(a, b, c)] = surface(near, blend, place(a, b, c));
  }
  const points = [], normals = [], owners = [], faces = [], vertex = new Map();
  for (let k = 0; k < nz - 1; k++) for (let j = 0; j < ny - 1; j++) for (let i = 0; i < nx - 1; i++) {
    const corner = [0, 1, 2, 3, 4, 5, 6, 7].map((n) => values[index(i + (n & 1), j + ((n >> 1) & 1), k + (n >> 2))]);
    if (corner.every((v) => v > 0) || corner.every((v) => v <= 0)) continue;
    const sum = [0, 0, 0];
    let crossings = 0;
    for (let a = 0; a < 8; a++) for (const bit of [1, 2, 4]) {
      const b = a | bit;
      if (a & bit || corner[a] > 0 === corner[b] > 0) continue;
      [1, 2, 4].forEach((one, axis) => (sum[axis] += (a & one ? 1 : 0) + (bit === one ? corner[a] / (corner[a] - corner[b]) : 0)));
      crossings++;
    }
    vertex.set(index(i, j, k), points.length);
    points.push(place(...[i, j, k].map((n, axis) => n + sum[axis] / crossings)));
  }
  for (const at of vertex.keys()) {
    const here = values[at] > 0, steps = [1, nx, nx * ny];
    for (let axis = 0; axis < 3; axis++) {
      if (here === values[at + steps[axis]] > 0) continue;
      const [u, v] = [steps[(axis + 1) % 3], steps[(axis + 2) % 3]], around = [at, at - u, at - u - v, at - v].map((one) => vertex.get(one));
      if (around.includes(undefined)) continue;
      const [p, q, r, s] = here ? around.reverse() : around;
      faces.push(p, q, r, p, r, s);
    }
  }
  const tints = [];
  for (const p of points) {
    normals.push(unit(EYE.map((axis) => surface(list, blend, add(p, axis, 0.004 * size)) - surface(list, blend, add(p, axis, -0.004 * size)))));
    const away = list.map((capsule) => distance(capsule, p)), nearest = Math.min(...away);
    const weights = (reach) => {
      const found = new Map();
      list.forEach(({ owner }, i) => {
        const one = Math.max(0, 1 - (away[i] - nearest) / reach) ** 2;
        if (one > (found.get(owner) ?? 0)) found.set(owner, one);
      });
      const most = [...found].sort((a, b) => b[1] - a[1]).slice(0, 4), total = most.reduce((all, [, one]) => all + one, 0);
      return most.map(([owner, one]) => [owner, one / total]);
    };
    owners.push(weights(share));
    tints.push(weights(share / 5).reduce((all, [owner, one]) => add(all, sideColour(body, owner, colours), one), [0, 0, 0]));
  }
  for (const { owner, a, ra } of eyes) ball(points.length, (normal) => {
    points.push(add(a, normal, ra));
    normals.push(normal);
    owners.push([[owner, 1]]);
    tints.push(colours.eyes);
  }, faces);
  return { points, normals, owners, tints, faces };
}

export const sideColour = (body, joint, colours) => (body.left.has(joint) ? colours.left : body.right.has(joint) ? colours.right : colours.middle);

function ball(first, add, faces) {
  for (let i = 0; i <= 6; i++) for (let j = 0; j < 8; j++) {
    const [rise, turn] = [(i / 6 - 0.5) * Math.PI, (j / 4) * Math.PI];
    add([Math.cos(rise) * Math.sin(turn), Math.sin(rise), Math.cos(rise) * Math.cos(turn)]);
    const [p, q] = [first + 8 * i + j, first + 8 * i + ((j + 1) % 8)];
    if (i < 6) faces.push(p, q, q + 8, p, q + 8, p + 8);
  }
}
