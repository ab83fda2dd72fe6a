// The mannequin on a ground with lines, soft shadow and trail, in WebGL 2; and the camera that never crops it.
// As mmm/viz/render.py in Python. Used by player.html and by docs/demo.

import { add, capsules, cross, dot, mannequin, mix, sub, times, unit } from "./figure.js";

/** Colours of the ground; those of the figure are in mannequin.json. */
export const LOOK = { ground: [241, 243, 246], lines: [197, 204, 214], trail: [96, 106, 124] };
const LENS = 0.26; // half the height of the picture at a distance of one metre
export const SOLE = 0.026; // metres from the lowest joint to the sole
const LIGHT = [-0.5, 1, 0.55]; // towards it: right in the picture at first, up, towards the viewer
const LAMP = 2.2, DEPTH = 8; // metres: half the width of the lamp's picture, and how far it sees

/** A motion for the stage: joints frame by frame, and what a camera needs to follow them. */
export class Clip {
  constructor(body, joints, fps, table, yaw = 0) {
    Object.assign(this, { body, joints, fps, yaw, frames: joints.length / body.count / 3, reaches: new Map() });
    const roots = Array.from({ length: this.frames }, (_, t) => this.root(t)), side = Math.max(1, Math.round(fps / 2));
    this.path = roots.map((_, t) => { // a moving mean over a second: the picture does not shake with every step
      let sum = [0, 0, 0];
      for (let s = t - side; s <= t + side; s++) sum = add(sum, roots[Math.min(this.frames - 1, Math.max(0, s))], 1 / (2 * side + 1));
      return sum;
    });
    const ends = [0, 2].map((i) => [Math.min(...roots.map((p) => p[i])), Math.max(...roots.map((p) => p[i]))]);
    this.middle = [(ends[0][0] + ends[0][1]) / 2, 0, (ends[1][0] + ends[1][1]) / 2];
    this.span = Math.hypot(ends[0][1] - ends[0][0], ends[1][1] - ends[1][0]);
    const { list, blend } = capsules(body, table); // the ends of the capsules in each frame: what a camera must see. Where some flow together, they are thicker
    this.thick = list.flatMap(({ ra, rb, flat }) => [ra, rb].map((radius) => radius * Math.max(1, flat) + 0.6 * blend));
    this.ends = roots.map((_, t) => {
      const bones = body.bones(this.pose(t), table.spread);
      return list.flatMap(({ owner, a, b }) => [a, b].map((end) => add(times(bones[owner].turn, end), bones[owner].shift)));
    });
  }

  root(frame) {
    const [x, , z] = this.body.point(this.joints, frame, 0);
    return [x, 0, z];
  }

  between(frame) {
    const before = Math.min(this.frames - 1, Math.max(0, Math.floor(frame)));
    return [before, Math.min(before + 1, this.frames - 1), Math.min(1, Math.max(0, frame - before))];
  }

  /** World joints at a time between two frames. */
  pose(frame) {
    const [a, b, part] = this.between(frame);
    return this.body.names.map((_, joint) => mix(this.body.point(this.joints, a, joint), this.body.point(this.joints, b, joint), part));
  }

  /** A camera from which the skin of all frames is seen, perspective included. */
  camera(frame, aspect, { yaw = 0, pitch = 0.27, zoom = 1, follow = true, least = 0 }) {
    const turn = yaw + this.yaw, [s, c, l, d] = [Math.sin(turn), Math.cos(turn), Math.sin(pitch), Math.cos(pitch)];
    const axes = [[c, 0, -s], [-s * l, d, -c * l], [s * d, l, c * d]], slopes = [LENS * aspect, LENS];
    const key = [turn, pitch, aspect].map((one) => one.toFixed(2)).join() + follow;
    if (this.reaches.size > 50) this.reaches.clear();
    if (!this.reaches.has(key)) {
      const most = [-1e9, -1e9, -1e9, -1e9], tilt = slopes.map((one) => Math.hypot(1, one) / one);
      this.ends.forEach((points, t) => points.forEach((point, j) => {
        const [x, y, z] = times(axes, sub(point, follow ? this.path[t] : this.middle));
        [x, -x, y, -y].forEach((one, i) => (most[i] = Math.max(most[i], z + one / slopes[i >> 1] + this.thick[j] * tilt[i >> 1])));
      }));
      const [right, left, top, bottom] = most;
      this.reaches.set(key, [Math.max(right + left, top + bottom, 1.6 / LENS) / 2, ((right - left) / 2) * slopes[0], ((top - bottom) / 2) * slopes[1]]);
    }
    const [distance, aside, above] = this.reaches.get(key), [a, b, part] = this.between(frame);
    const ground = follow ? mix(this.path[a], this.path[b], part) : this.middle;
    return { axes, slopes, distance: Math.max(distance, least) * zoom, ground, target: add(add(ground, axes[0], aside), axes[1], above) };
  }
}

/** Rows and columns in which views of so many motions have the best shape for people. */
export function grid(count, width, height) {
  const fit = (columns) => Math.min(width / columns, (0.8 * height) / Math.ceil(count / columns));
  const columns = Array.from({ length: count }, (_, i) => i + 1).sort((a, b) => fit(b) - fit(a) || a - b)[0];
  return [Math.ceil(count / columns), columns];
}

/** World point → right and up in the picture (-1 to 1), and metres from the viewer. */
export function project({ axes, slopes, distance, target }, point) {
  const [x, y, z] = times(axes, sub(point, target)), depth = distance - z;
  return [x / slopes[0] / depth, y / slopes[1] / depth, depth];
}

const FIGURE = `#version 300 es
in vec3 place, normal, tint;
in vec4 bone, weight;
uniform mat4 bones[24], seen;
out vec3 at, n, colour;
void main() {
  mat4 m = weight.x * bones[int(bone.x)] + weight.y * bones[int(bone.y)] + weight.z * bones[int(bone.z)] + weight.w * bones[int(bone.w)];
  at = (m * vec4(place, 1)).xyz; n = mat3(m) * normal; colour = tint;
  gl_Position = seen * vec4(at, 1);
}`;
// the lamp's depth is a part of DEPTH metres; all distances here are metres
const LAMPED = `#version 300 es
precision highp float;
uniform sampler2D depth;
uniform mat4 lamp;
uniform vec3 light, paint, lines, centre, spots[24];
uniform float ground;
const float WIDE = ${(2 * LAMP).toFixed(2)}, DEEP = ${DEPTH.toFixed(2)};
vec2 disk(int i, int count, float turn) {
  float a = 2.4 * float(i) + turn;
  return sqrt((float(i) + 0.5) / float(count)) * vec2(cos(a), sin(a));
}
float above(vec2 p, float z) { return (z - texture(depth, p).r) * DEEP; } // of the first thing that the lamp meets
float shaded(vec3 p, float slack, bool soft) {
  vec3 q = (lamp * vec4(p, 1)).xyz * 0.5 + 0.5;
  float turn = 6.28 * fract(52.98 * fract(dot(gl_FragCoord.xy, vec2(0.0671, 0.00584)))), blur = 0.03, sum = 0.0, hits = 0.0;
  if (soft) {
    for (int i = 0; i < 16; i++) { float h = above(q.xy + disk(i, 16, turn) * 0.2 / WIDE, q.z); if (h > slack) { sum += h; hits += 1.0; } }
    if (hits == 0.0) return 0.0;
    blur = 0.02 + 0.11 * sum / hits;
    sum = 0.0;
  }
  for (int i = 0; i < 32; i++) sum += smoothstep(slack, slack + 0.02, above(q.xy + disk(i, 32, turn) * blur / WIDE, q.z));
  return sum / 32.0;
}
`;
const LIT = `${LAMPED}
in vec3 at, n, colour;
out vec4 shown;
void main() {
  vec3 up = normalize(n);
  float sun = max(dot(up, light), 0.0), sky = 0.5 + 0.5 * up.y, near = clamp((at.y - ground) / 0.25, 0.0, 1.0);
  if (sun > 0.0) sun *= 1.0 - 0.85 * shaded(at + 0.02 * up, 0.03, false);
  shown = vec4(colour * ((0.48 + 0.22 * sky) * (0.8 + 0.2 * near) + 0.42 * sun), 1);
}`;
const GROUND = [`#version 300 es
in vec2 corner;
uniform mat4 seen;
uniform vec3 centre;
uniform float ground;
out vec3 at;
void main() { at = vec3(centre.x + 30.0 * corner.x, ground, centre.z + 30.0 * corner.y); gl_Position = seen * vec4(at, 1); }`, `${LAMPED}
in vec3 at;
out vec4 shown;
void main() {
  vec2 away = abs(fract(at.xz - 0.5) - 0.5) / fwidth(at.xz);
  float line = max(0.0, 1.0 - min(away.x, away.y)) * (1.0 - smoothstep(1.5, 5.0, distance(at, centre))), touch = 0.0;
  for (int i = 0; i < 24; i++) {
    vec3 d = spots[i] - at;
    touch += pow(max(0.0, 1.0 - max(0.0, d.y - 0.03) / 0.16), 2.0) * exp(-dot(d.xz, d.xz) / 0.006);
  }
  float dark = distance(at, centre) < WIDE ? 0.3 * shaded(at, 0.01, true) : 0.0;
  shown = vec4(mix(paint, lines, line) * (1.0 - dark) * (1.0 - 0.3 * min(touch, 1.0)), 1);
}`];
const FLAT = [`#version 300 es
in vec3 place;
uniform mat4 seen;
void main() { gl_Position = seen * vec4(place, 1); }`, `#version 300 es
precision highp float;
uniform vec4 colour;
out vec4 shown;
void main() { shown = colour; }`];

/** A canvas with figures. Throws if there is no WebGL 2. @param look colours (LOOK), @param table mannequin.json */
export class Stage {
  constructor(canvas, table, look = LOOK) {
    const gl = canvas.getContext("webgl2", { antialias: true, preserveDrawingBuffer: true });
    if (!gl) throw new Error("no WebGL 2");
    Object.assign(this, { canvas, gl, table, look: { ...table.colours, ...look }, meshes: new Map(), flat: gl.createBuffer() });
    this.programs = { shade: this.#program(FIGURE, FLAT[1]), figure: this.#program(FIGURE, LIT), ground: this.#program(...GROUND), flat: this.#program(...FLAT) };
    this.size = 1024;
    this.map = gl.createTexture();
    gl.bindTexture(gl.TEXTURE_2D, this.map);
    gl.texStorage2D(gl.TEXTURE_2D, 1, gl.DEPTH_COMPONENT24, this.size, this.size);
    for (const [name, value] of [["MIN_FILTER", "NEAREST"], ["MAG_FILTER", "NEAREST"], ["WRAP_S", "CLAMP_TO_EDGE"], ["WRAP_T", "CLAMP_TO_EDGE"]])
      gl.texParameteri(gl.TEXTURE_2D, gl[`TEXTURE_${name}`], gl[value]);
    this.frame = gl.createFramebuffer();
    gl.bindFramebuffer(gl.FRAMEBUFFER, this.frame);
    gl.framebufferTexture2D(gl.FRAMEBUFFER, gl.DEPTH_ATTACHMENT, gl.TEXTURE_2D, this.map, 0);
    this.corners = gl.createBuffer();
    gl.bindBuffer(gl.ARRAY_BUFFER, this.corners);
    gl.bufferData(gl.ARRAY_BUFFER, new Float32Array([-1, -1, 1, -1, -1, 1, 1, 1]), gl.STATIC_DRAW);
  }

  #program(...sources) {
    const { gl } = this, program = gl.createProgram();
    sources.forEach((source, i) => {
      const shader = gl.createShader(i ? gl.FRAGMENT_SHADER : gl.VERTEX_SHADER);
      gl.shaderSource(shader, source);
      gl.compileShader(shader);
      gl.attachShader(program, shader);
    });
    ["place", "normal", "tint", "bone", "weight"].forEach((name, i) => gl.bindAttribLocation(program, i, name));
    gl.bindAttribLocation(program, 0, "corner");
    gl.linkProgram(program);
    if (!gl.getProgramParameter(program, gl.LINK_STATUS)) throw new Error(gl.getProgramInfoLog(program) ?? "lost");
    return program;
  }

  /** The mesh of a body: one for all bodies with the same bones, to the centimetre. */
  #mesh(body) {
    const key = body.lengths.map((length) => length.toFixed(2)).join();
    if (!this.meshes.has(key)) {
      const { gl } = this, own = Object.fromEntries(Object.entries(this.table.colours).map(([name, colour]) => [name, colour.map((one) => one / 255)]));
      const { points, normals, tints, owners, faces } = mannequin(body, this.table, own);
      const rows = points.flatMap((point, i) => {
        const four = [0, 1, 2, 3].map((k) => owners[i][k] ?? [0, 0]);
        return [...point, ...normals[i], ...tints[i], ...four.map(([owner]) => owner), ...four.map(([, weight]) => weight)];
      });
      const array = gl.createVertexArray();
      gl.bindVertexArray(array);
      gl.bindBuffer(gl.ARRAY_BUFFER, gl.createBuffer());
      gl.bufferData(gl.ARRAY_BUFFER, new Float32Array(rows), gl.STATIC_DRAW);
      [3, 3, 3, 4, 4].reduce((offset, count, i) => {
        gl.enableVertexAttribArray(i);
        gl.vertexAttribPointer(i, count, gl.FLOAT, false, 68, offset);
        return offset + 4 * count;
      }, 0);
      gl.bindBuffer(gl.ELEMENT_ARRAY_BUFFER, gl.createBuffer());
      gl.bufferData(gl.ELEMENT_ARRAY_BUFFER, new Uint16Array(faces), gl.STATIC_DRAW);
      gl.bindVertexArray(null);
      this.meshes.set(key, { array, count: faces.length });
    }
    return this.meshes.get(key);
  }

  /** Empty the canvas and give it a size in CSS pixels. */
  clear(width, height, ratio = Math.min(2, devicePixelRatio || 1)) {
    const { gl, canvas } = this;
    this.ratio = ratio;
    [canvas.width, canvas.height] = [Math.round(width * ratio), Math.round(height * ratio)];
    gl.bindFramebuffer(gl.FRAMEBUFFER, null);
    gl.disable(gl.SCISSOR_TEST);
    gl.clearColor(...this.look.ground.map((one) => one / 255), 1);
    gl.clear(gl.COLOR_BUFFER_BIT);
    gl.enable(gl.SCISSOR_TEST);
  }

  /** Draw a clip at a time (in frames) into a box [x, y, width, height] of CSS pixels. @param view of `Clip.camera` */
  draw(clip, frame, box, view, { trace = true, hands = [] } = {}) {
    const { gl, look, programs } = this, { body } = clip, at = clip.pose(frame), mesh = this.#mesh(body);
    const camera = clip.camera(frame, box[2] / box[3], view), bones = new Float32Array(24 * 16);
    body.bones(at, this.table.spread).forEach(({ turn, shift }, joint) => {
      bones.set([0, 1, 2].flatMap((i) => [turn[0][i], turn[1][i], turn[2][i], 0]).concat(shift, 1), 16 * joint);
    });
    const { axes, slopes, distance, target } = camera, near = 0.05, far = 80, [right, up, back] = axes;
    const column = (i) => [right[i] / slopes[0], up[i] / slopes[1], -back[i] * (far + near) / (far - near), -back[i]];
    const depth = distance + dot(back, target);
    const seen = [0, 1, 2].flatMap(column).concat(-dot(right, target) / slopes[0], -dot(up, target) / slopes[1],
      (depth * (far + near) - 2 * far * near) / (far - near), depth);
    const [s, c] = [Math.sin(clip.yaw), Math.cos(clip.yaw)], light = unit([c * LIGHT[0] + s * LIGHT[2], LIGHT[1], c * LIGHT[2] - s * LIGHT[0]]);
    const aside = unit(cross([0, 1, 0], light)), rise = cross(light, aside), middle = [at[0][0], 0.7, at[0][2]];
    const rows = [[aside, LAMP], [rise, LAMP], [light, -DEPTH / 2]];
    const lamp = [0, 1, 2].flatMap((i) => [...rows.map(([axis, size]) => axis[i] / size), 0]).concat(rows.map(([axis, size]) => -dot(axis, middle) / size), 1);
    const tint = (name) => look[name].map((one) => one / 255), spots = Array.from({ length: 24 }, (_, i) => at[i] ?? [0, 99, 0]).flat();
    const use = (program, matrix) => {
      gl.useProgram(program);
      const set = (name, kind, ...values) => { const place = gl.getUniformLocation(program, name); if (place) gl[`uniform${kind}`](place, ...values); };
      set("bones", "Matrix4fv", false, bones); set("seen", "Matrix4fv", false, matrix); set("lamp", "Matrix4fv", false, lamp);
      set("light", "3fv", light); set("paint", "3fv", tint("ground")); set("lines", "3fv", tint("lines")); set("spots", "3fv", spots);
      set("centre", "3f", camera.ground[0], -SOLE, camera.ground[2]); set("ground", "1f", -SOLE);
      return set;
    };
    const figure = () => { gl.bindVertexArray(mesh.array); gl.drawElements(gl.TRIANGLES, mesh.count, gl.UNSIGNED_SHORT, 0); gl.bindVertexArray(null); };
    gl.enable(gl.DEPTH_TEST);
    gl.bindTexture(gl.TEXTURE_2D, null);
    gl.bindFramebuffer(gl.FRAMEBUFFER, this.frame);
    this.#window(0, 0, this.size, this.size);
    gl.clear(gl.DEPTH_BUFFER_BIT);
    use(programs.shade, lamp)("colour", "4f", 0, 0, 0, 1);
    figure();
    gl.bindFramebuffer(gl.FRAMEBUFFER, null);
    gl.bindTexture(gl.TEXTURE_2D, this.map);
    const [x, y, w, h] = box.map((one) => one * this.ratio);
    this.#window(x, this.canvas.height - y - h, w, h);
    gl.clear(gl.DEPTH_BUFFER_BIT);
    use(programs.ground, seen);
    gl.bindBuffer(gl.ARRAY_BUFFER, this.corners);
    gl.enableVertexAttribArray(0);
    gl.vertexAttribPointer(0, 2, gl.FLOAT, false, 0, 0);
    gl.drawArrays(gl.TRIANGLE_STRIP, 0, 4);
    const set = use(programs.flat, seen), flat = (points, colour, alpha = 1) => {
      if (points.length < 3) return;
      gl.bindBuffer(gl.ARRAY_BUFFER, this.flat);
      gl.bufferData(gl.ARRAY_BUFFER, new Float32Array(points.flat()), gl.STREAM_DRAW);
      gl.vertexAttribPointer(0, 3, gl.FLOAT, false, 0, 0);
      set("colour", "4f", ...colour.map((one) => one / 255), alpha);
      gl.drawArrays(gl.TRIANGLE_STRIP, 0, points.length);
    };
    gl.enable(gl.BLEND);
    gl.blendFuncSeparate(gl.SRC_ALPHA, gl.ONE_MINUS_SRC_ALPHA, gl.ZERO, gl.ONE);
    gl.disable(gl.DEPTH_TEST);
    const [now] = clip.between(frame), floor = (point) => [point[0], -SOLE, point[2]];
    if (trace) {
      const roots = Array.from({ length: clip.frames }, (_, t) => floor(clip.root(t))), here = floor(at[0]), wide = 0.0035 * distance;
      flat(ribbon([here, ...roots.slice(now + 1)], () => [0, 1, 0], wide / 2), look.trail, 0.35);
      flat(ribbon([...roots.slice(0, now + 1), here], () => [0, 1, 0], wide), look.trail);
    }
    gl.enable(gl.DEPTH_TEST);
    const past = Math.max(0, Math.ceil(frame - clip.fps / 2)), eye = add(target, back, distance);
    for (const joint of trace ? hands : []) {
      const way = Array.from({ length: Math.max(0, now + 1 - past) }, (_, i) => body.point(clip.joints, past + i, joint));
      flat(ribbon([...way, at[joint]], (point) => sub(eye, point), 0.002 * distance), body.left.has(joint) ? look.left : look.right, 0.55);
    }
    gl.disable(gl.BLEND);
    use(programs.figure, seen);
    figure();
  }

  #window(x, y, width, height) {
    this.gl.viewport(x, y, width, height);
    this.gl.scissor(x, y, width, height);
  }
}

/** A strip of triangles along points, `half` metres to either side. @param facing the normal at a point */
function ribbon(points, facing, half) {
  const way = points.filter((p, i) => !i || Math.hypot(...sub(p, points[i - 1])) > 1e-4);
  return way.length < 2 ? [] : way.flatMap((point, i) => {
    const aside = unit(cross(sub(way[Math.min(i + 1, way.length - 1)], way[Math.max(i - 1, 0)]), facing(point)));
    return [add(point, aside, half), add(point, aside, -half)];
  });
}
