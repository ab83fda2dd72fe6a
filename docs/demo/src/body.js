// From world joints to a body: rotations of the bones, a mannequin's mesh, a BVH file. Joints as in HumanML3D.

import { BufferAttribute, BufferGeometry, Euler, Matrix4, Quaternion, Vector3 } from "three";

const X = new Vector3(1, 0, 0), Y = new Vector3(0, 1, 0);

/** The skeleton of config.json with the bone lengths (medians) of a motion. */
export class Body {
  constructor(skeleton, joints) {
    this.names = skeleton.joints;
    this.parents = skeleton.parents;
    this.left = new Set(skeleton.left);
    this.right = new Set(skeleton.right);
    this.count = this.names.length;
    this.children = this.names.map((_, joint) => this.parents.flatMap((parent, child) => (parent === joint ? [child] : [])));
    this.directions = skeleton.rest.map((row) => new Vector3(...row).normalize());
    const frames = joints.length / this.count / 3;
    const lengths = this.names.map((_, joint) => joint && median(Array.from({ length: frames }, (_, t) =>
      this.point(joints, t, joint).distanceTo(this.point(joints, t, this.parents[joint])))));
    this.offsets = this.directions.map((direction, joint) => direction.clone().multiplyScalar(lengths[joint]));
    this.rest = [];
    this.offsets.forEach((offset, joint) => this.rest.push(joint ? this.rest[this.parents[joint]].clone().add(offset) : new Vector3()));
  }

  named(name) {
    return this.names.indexOf(name);
  }

  point(joints, frame, joint) {
    return new Vector3().fromArray(joints, 3 * (frame * this.count + joint));
  }

  /** World rotations of all joints from the rest pose, for one frame; joints do not show a bone's own twist. */
  pose(joints, frame) {
    const at = this.names.map((_, joint) => this.point(joints, frame, joint));
    const rotations = [];
    for (let joint = 0; joint < this.count; joint++) {
      const [first, ...more] = this.children[joint];
      const parent = rotations[this.parents[joint]] ?? new Quaternion();
      if (first === undefined) rotations.push(parent.clone());
      else if (more.length) {
        // pelvis and chest: left to right gives x, the spine y
        const side = this.children[joint].filter((child) => this.left.has(child) || this.right.has(child));
        const spine = this.children[joint].find((child) => !side.includes(child));
        const [a, b] = this.left.has(side[0]) ? side : [side[1], side[0]];
        const turn = (place, centre) => basis(place[a].clone().sub(place[b]), place[spine].clone().sub(centre));
        rotations.push(turn(at, at[joint]).multiply(turn(this.rest, this.rest[joint]).invert()));
      } else {
        const ahead = this.directions[first].clone().applyQuaternion(parent);
        const bone = at[first].clone().sub(at[joint]).normalize();
        rotations.push(new Quaternion().setFromUnitVectors(ahead, bone).multiply(parent));
      }
    }
    return { at, rotations };
  }

  /** The motion as the text of a BVH file: centimetres, y up, a rigid body. */
  bvh(joints, fps) {
    const frames = joints.length / this.count / 3;
    const poses = Array.from({ length: frames }, (_, t) => this.pose(joints, t));
    const local = (child, parent) => poses.map(({ at, rotations }) =>
      at[child].clone().sub(at[parent]).applyQuaternion(rotations[parent].clone().invert()));
    const offsets = this.offsets.map((offset, joint) => {
      const parent = this.parents[joint];
      if (parent < 0 || this.children[parent].length < 2) return offset;
      const seen = local(joint, parent);
      return new Vector3(...["x", "y", "z"].map((axis) => median(seen.map((v) => v[axis]))));
    });
    const order = (joint) => (joint ? (Math.abs(this.directions[joint].x) === 1 ? "ZXY" : "XYZ") : "YZX");
    const numbers = (vector) => [vector.x, vector.y, vector.z].map((n) => (100 * n).toFixed(4)).join(" ");
    const lines = ["HIERARCHY"], listed = [];
    const write = (joint, tab) => {
      listed.push(joint);
      const channels = [...order(joint)].map((axis) => `${axis}rotation`).join(" ");
      lines.push(`${tab}${joint ? "JOINT" : "ROOT"} ${this.names[joint]}`, `${tab}{`, `${tab}\tOFFSET ${numbers(offsets[joint])}`,
        joint ? `${tab}\tCHANNELS 3 ${channels}` : `${tab}\tCHANNELS 6 Xposition Yposition Zposition ${channels}`);
      for (const child of this.children[joint]) write(child, `${tab}\t`);
      if (!this.children[joint].length) {
        lines.push(`${tab}\tEnd Site`, `${tab}\t{`, `${tab}\t\tOFFSET ${numbers(offsets[joint].clone().multiplyScalar(0.5))}`, `${tab}\t}`);
      }
      lines.push(`${tab}}`);
    };
    write(0, "");
    lines.push("MOTION", `Frames: ${frames}`, `Frame Time: ${(1 / fps).toFixed(8)}`);
    const last = {};
    for (const { at, rotations } of poses) {
      const row = [numbers(at[0])];
      for (const joint of listed) {
        const parent = rotations[this.parents[joint]] ?? new Quaternion();
        const turn = parent.clone().invert().multiply(rotations[joint]);
        const euler = new Euler().setFromQuaternion(turn, order(joint));
        [...order(joint)].forEach((axis, i) => {
          let degrees = (euler[axis.toLowerCase()] * 180) / Math.PI;
          const before = last[`${joint}${i}`] ?? degrees; // no jumps by whole turns
          degrees += 360 * Math.round((before - degrees) / 360);
          last[`${joint}${i}`] = degrees;
          row.push(degrees.toFixed(4));
        });
      }
      lines.push(row.join(" "));
    }
    return lines.join("\n") + "\n";
  }
}

function median(numbers) {
  const sorted = Float64Array.from(numbers).sort();
  return sorted.length ? (sorted[(sorted.length - 1) >> 1] + sorted[sorted.length >> 1]) / 2 : 0;
}

/** The rotation whose x axis is `across` and whose y axis lies nearest to `up`. */
function basis(across, up) {
  const x = across.lengthSq() ? across.normalize() : X.clone();
  const y = up.addScaledVector(x, -up.dot(x));
  if (y.lengthSq() < 1e-12) y.copy(Y);
  y.normalize();
  return new Quaternion().setFromRotationMatrix(new Matrix4().makeBasis(x, y, x.clone().cross(y)));
}

// ---- The mannequin: one smooth surface around tapered capsules

const CELL = 0.017; // metres
const BLEND = 0.035; // how far two capsules flow into each other
const REACH = 0.06; // how far the bones beside a joint share its skin

/** Capsules of the rest pose: the joint that carries it, both ends and radii, and how flat it is from front to back. */
function capsules(body) {
  const at = (name) => body.rest[body.named(name)];
  const ahead = (place, x, y, z) => place.clone().add(new Vector3(x, y, z));
  const list = [];
  const add = (owner, a, b, ra, rb, flat = 1) => list.push({ owner: body.named(owner), a, b, ra, rb, flat });
  const pelvis = at("pelvis"), chest = at("spine3"), head = at("head");
  add("pelvis", ahead(at("left_hip"), -0.02, 0.02, 0), ahead(at("right_hip"), 0.02, 0.02, 0), 0.098, 0.098, 0.85);
  add("pelvis", ahead(pelvis, 0, 0.02, 0), at("spine1"), 0.118, 0.11, 0.78);
  add("spine1", at("spine1"), at("spine2"), 0.11, 0.118, 0.76);
  add("spine2", at("spine2"), chest, 0.125, 0.13, 0.76);
  add("spine3", ahead(chest, 0.08, 0.06, 0), ahead(chest, -0.08, 0.06, 0), 0.115, 0.115, 0.76);
  add("neck", at("neck"), head, 0.056, 0.052);
  add("head", ahead(head, 0, 0.015, 0.016), ahead(head, 0, 0.1, 0.004), 0.066, 0.09, 1.08);
  add("head", ahead(head, 0, 0.07, 0.09), ahead(head, 0, 0.05, 0.104), 0.011, 0.016);
  for (const [side, sign] of [["left", 1], ["right", -1]]) {
    const part = (name) => at(`${side}_${name}`);
    const own = (name) => `${side}_${name}`;
    add(own("collar"), ahead(chest, sign * 0.06, 0.11, 0), part("shoulder"), 0.06, 0.066);
    add("spine3", ahead(at("neck"), sign * 0.02, -0.01, -0.01), ahead(at("neck"), sign * 0.11, -0.06, -0.005), 0.052, 0.05);
    add(own("shoulder"), part("shoulder"), part("elbow"), 0.058, 0.043);
    add(own("elbow"), part("elbow"), part("wrist"), 0.044, 0.03);
    add(own("wrist"), ahead(part("wrist"), sign * 0.02, 0, 0), ahead(part("wrist"), sign * 0.14, 0, 0.01), 0.032, 0.026, 1.25);
    add(own("wrist"), ahead(part("wrist"), sign * 0.035, 0, 0.02), ahead(part("wrist"), sign * 0.085, -0.005, 0.058), 0.018, 0.013);
    add(own("hip"), part("hip"), part("knee"), 0.092, 0.06);
    add(own("knee"), part("knee"), part("ankle"), 0.06, 0.04);
    add(own("knee"), ahead(part("knee"), 0, -0.07, -0.018), ahead(part("knee"), 0, -0.17, -0.022), 0.054, 0.05);
    add(own("ankle"), ahead(part("ankle"), 0, -0.05, -0.035), part("foot"), 0.042, 0.034);
    add(own("foot"), part("foot"), ahead(part("foot"), 0, -0.005, 0.07), 0.034, 0.026);
  }
  return list;
}

/** Signed distance of a point from a capsule that gets thinner from a to b. */
function distance(capsule, x, y, z) {
  const { a, b, ra, rb, flat } = capsule;
  const dx = b.x - a.x, dy = b.y - a.y, dz = b.z - a.z;
  const px = x - a.x, py = y - a.y, pz = z - a.z;
  const along = Math.min(1, Math.max(0, (px * dx + py * dy + pz * dz) / (dx * dx + dy * dy + dz * dz + 1e-12)));
  const radius = ra + along * (rb - ra);
  return Math.hypot(px - along * dx, py - along * dy, (pz - along * dz) / flat) - radius;
}

/** The smooth union of all capsules (Quilez's polynomial minimum), within about 10 cm of the surface. */
function surface(list, x, y, z) {
  let found = 1;
  for (const capsule of list) {
    const d = distance(capsule, x, y, z);
    const h = Math.max(0, BLEND - Math.abs(found - d)) / BLEND;
    found = Math.min(found, d) - (h * h * BLEND) / 4;
  }
  return found;
}

/** The mesh of the rest pose with skin weights: naive surface nets (Gibson 1998) over the smooth union. */
export function mannequin(body, colours) {
  const list = capsules(body);
  const low = [0, 1, 2].map((i) => Math.min(...list.flatMap((c) => [c.a, c.b].map((p) => p.toArray()[i]))) - 0.16);
  const high = [0, 1, 2].map((i) => Math.max(...list.flatMap((c) => [c.a, c.b].map((p) => p.toArray()[i]))) + 0.16);
  const size = low.map((from, i) => Math.ceil((high[i] - from) / CELL) + 1);
  const index = (i, j, k) => (k * size[1] + j) * size[0] + i;
  const values = new Float32Array(size[0] * size[1] * size[2]).fill(1);
  const BLOCK = 4; // far blocks are skipped
  for (let k = 0; k < size[2]; k += BLOCK) for (let j = 0; j < size[1]; j += BLOCK) for (let i = 0; i < size[0]; i += BLOCK) {
    const centre = [i, j, k].map((n, axis) => low[axis] + (n + BLOCK / 2) * CELL);
    const near = list.filter((capsule) => distance(capsule, ...centre) < BLOCK * CELL + BLEND);
    if (!near.length) continue;
    for (let c = k; c < Math.min(k + BLOCK, size[2]); c++) for (let b = j; b < Math.min(j + BLOCK, size[1]); b++)
      for (let a = i; a < Math.min(i + BLOCK, size[0]); a++) {
        values[index(a, b, c)] = surface(near, low[0] + a * CELL, low[1] + b * CELL, low[2] + c * CELL);
      }
  }
  const positions = [], vertex = new Map(), faces = [];
  for (let k = 0; k < size[2] - 1; k++) for (let j = 0; j < size[1] - 1; j++) for (let i = 0; i < size[0] - 1; i++) {
    const corner = Array.from({ length: 8 }, (_, n) => values[index(i + (n & 1), j + ((n >> 1) & 1), k + (n >> 2))]);
    if (corner.every((v) => v > 0) || corner.every((v) => v <= 0)) continue;
    const sum = [0, 0, 0];
    let crossings = 0;
    for (let a = 0; a < 8; a++) for (const bit of [1, 2, 4]) {
      const b = a | bit;
      if (a & bit || corner[a] > 0 === corner[b] > 0) continue;
      const t = corner[a] / (corner[a] - corner[b]);
      [1, 2, 4].forEach((one, axis) => (sum[axis] += (a & one ? 1 : 0) + (bit === one ? t : 0)));
      crossings++;
    }
    vertex.set(index(i, j, k), positions.length / 3);
    [i, j, k].forEach((n, axis) => positions.push(low[axis] + (n + sum[axis] / crossings) * CELL));
  }
  for (const cell of vertex.keys()) {
    const i = cell % size[0], j = Math.floor(cell / size[0]) % size[1], k = Math.floor(cell / size[0] / size[1]);
    const here = values[cell] > 0;
    for (const [next, u, v] of [[index(i + 1, j, k), [0, 1, 0], [0, 0, 1]], [index(i, j + 1, k), [0, 0, 1], [1, 0, 0]], [index(i, j, k + 1), [1, 0, 0], [0, 1, 0]]]) {
      if (here === values[next] > 0) continue;
      const around = [[0, 0], [1, 0], [1, 1], [0, 1]].map(([a, b]) =>
        vertex.get(index(i - a * u[0] - b * v[0], j - a * u[1] - b * v[1], k - a * u[2] - b * v[2])));
      if (around.includes(undefined)) continue;
      const [p, q, r, s] = here ? [...around].reverse() : around;
      faces.push(p, q, r, p, r, s);
    }
  }
  return skin(body, list, positions, faces, colours);
}

/** Normals, colours and weights: the skin near a joint moves with the bones on both of its sides. */
function skin(body, list, positions, faces, colours) {
  const count = positions.length / 3;
  const normals = new Float32Array(3 * count), tints = new Float32Array(3 * count);
  const bones = new Uint16Array(4 * count), weights = new Float32Array(4 * count);
  for (let n = 0; n < count; n++) {
    const [x, y, z] = positions.slice(3 * n, 3 * n + 3), step = 0.004;
    const slope = [[step, 0, 0], [0, step, 0], [0, 0, step]].map(([a, b, c]) =>
      surface(list, x + a, y + b, z + c) - surface(list, x - a, y - b, z - c));
    const length = Math.hypot(...slope) || 1;
    slope.forEach((s, i) => (normals[3 * n + i] = s / length));
    const away = list.map((capsule) => distance(capsule, x, y, z));
    const nearest = Math.min(...away), shares = new Map();
    list.forEach(({ owner }, i) => {
      const share = Math.max(0, 1 - (away[i] - nearest) / REACH) ** 2;
      if (share) shares.set(owner, Math.max(share, shares.get(owner) ?? 0));
    });
    const most = [...shares].sort((a, b) => b[1] - a[1]).slice(0, 4);
    const total = most.reduce((sum, [, share]) => sum + share, 0);
    let left = 0, right = 0;
    most.forEach(([owner, share], i) => {
      bones[4 * n + i] = owner;
      weights[4 * n + i] = share / total;
      if (body.left.has(owner)) left += share / total;
      if (body.right.has(owner)) right += share / total;
    });
    const mix = (i) => colours.middle[i] * (1 - left - right) + colours.left[i] * left + colours.right[i] * right;
    for (let i = 0; i < 3; i++) tints[3 * n + i] = mix(i);
  }
  const geometry = new BufferGeometry();
  geometry.setAttribute("position", new BufferAttribute(new Float32Array(positions), 3));
  geometry.setAttribute("normal", new BufferAttribute(normals, 3));
  geometry.setAttribute("color", new BufferAttribute(tints, 3));
  geometry.setAttribute("skinIndex", new BufferAttribute(bones, 4));
  geometry.setAttribute("skinWeight", new BufferAttribute(weights, 4));
  geometry.setIndex(faces);
  return geometry;
}
