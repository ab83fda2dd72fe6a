// The stage: mannequins on a grid, each in a view of its own, with shadow, trail and a camera that never crops them.

import {
  AmbientLight, Bone, BufferAttribute, BufferGeometry, CanvasTexture, Color, DirectionalLight, HemisphereLight,
  Line, LineBasicMaterial, Matrix4, Mesh, MeshBasicMaterial, MeshStandardMaterial, PCFShadowMap, PerspectiveCamera,
  PlaneGeometry, Scene, ShaderMaterial, ShadowMaterial, Skeleton, SkinnedMesh, SphereGeometry, Vector3, WebGLRenderer,
} from "three";
import { mannequin } from "./body.js";

export const COLOURS = { left: "#3b78c4", right: "#e08a33", middle: "#d8d3ca", eyes: "#23262d", ground: "#eef0f3", grid: "#c6cbd3", trail: "#8b93a1" };
const MARGIN = 0.22; // metres around the joints that the skin and the shadow need
const FEET = ["left_foot", "right_foot"];
const GRID = { // lines every half metre, which fade away from the person
  vertexShader: "varying vec3 place; void main() { place = (modelMatrix * vec4(position, 1.0)).xyz; gl_Position = projectionMatrix * viewMatrix * vec4(place, 1.0); }",
  fragmentShader: `varying vec3 place; uniform vec3 centre, colour;
    void main() {
      vec2 step = place.xz / 0.5, away = abs(fract(step - 0.5) - 0.5) / fwidth(step);
      float line = 1.0 - min(min(away.x, away.y), 1.0);
      gl_FragColor = vec4(colour, line * (1.0 - smoothstep(1.0, 6.0, distance(place.xz, centre.xz))));
      #include <colorspace_fragment>
    }`,
};

export class Stage {
  constructor(canvas) {
    this.renderer = new WebGLRenderer({ canvas, antialias: true, preserveDrawingBuffer: true });
    this.renderer.shadowMap.enabled = true;
    this.renderer.shadowMap.type = PCFShadowMap;
    this.renderer.setScissorTest(true);
    this.canvas = canvas;
    this.views = [];
    this.turn = { yaw: 0.6, pitch: 0.22, zoom: 1 };
  }

  /** Show motions side by side. @param motions [{ joints, frames }] */
  show(body, motions) {
    this.body = body;
    const linear = (name) => new Color(COLOURS[name]).toArray();
    this.geometry ??= mannequin(body, { left: linear("left"), right: linear("right"), middle: linear("middle") });
    for (const view of this.views) view.dispose();
    this.views = motions.map((motion) => new View(body, this.geometry, motion));
    this.draw(0);
  }

  /** Rows and columns in which the views have the best shape for people. */
  grid(width, height) {
    const count = this.views.length;
    const fit = (columns) => Math.min(width / columns, (0.8 * height) / Math.ceil(count / columns));
    const columns = Array.from({ length: count }, (_, i) => i + 1).sort((a, b) => fit(b) - fit(a) || a - b)[0];
    return [Math.ceil(count / columns), columns];
  }

  /** Draw a frame; a view whose motion is shorter stays at its last frame. */
  draw(frame, size) {
    const { clientWidth: width, clientHeight: height } = size ? { clientWidth: size, clientHeight: size } : this.canvas;
    if (!width || !this.views.length) return;
    this.renderer.setPixelRatio(size ? 1 : Math.min(2, devicePixelRatio || 1));
    this.renderer.setSize(width, height, false);
    const [rows, columns] = this.grid(width, height);
    this.views.forEach((view, i) => {
      const w = width / columns, h = height / rows;
      const [x, y] = [(i % columns) * w, height - (Math.floor(i / columns) + 1) * h];
      this.renderer.setViewport(x, y, w, h);
      this.renderer.setScissor(x, y, w, h);
      view.draw(this.renderer, Math.min(frame, view.frames - 1), w / h, this.turn);
    });
  }

  orbit(dx, dy) {
    this.turn.yaw -= dx;
    this.turn.pitch = Math.min(1.4, Math.max(0.03, this.turn.pitch + dy));
  }

  zoom(factor) {
    this.turn.zoom = Math.min(3, Math.max(0.5, this.turn.zoom * factor));
  }
}

class View {
  constructor(body, geometry, { joints, frames }) {
    Object.assign(this, { body, joints, frames });
    this.scene = new Scene();
    this.scene.background = new Color(COLOURS.ground);
    this.camera = new PerspectiveCamera(32, 1, 0.1, 60);
    this.floor = Math.min(...joints.filter((_, i) => i % 3 === 1)) - 0.02;
    this.follow = smoothPath(body, joints, frames);
    this.#lights();
    this.#ground();
    this.#figure(geometry);
    this.reaches = new Map();
  }

  #lights() {
    this.sun = new DirectionalLight("#fff6e8", 2.4);
    this.sun.castShadow = true;
    this.sun.shadow.mapSize.set(1024, 1024);
    this.sun.shadow.radius = 5;
    this.sun.shadow.bias = -0.0004;
    this.sun.shadow.normalBias = 0.02;
    Object.assign(this.sun.shadow.camera, { left: -1.6, right: 1.6, top: 1.9, bottom: -1.6, near: 0.5, far: 9 });
    this.scene.add(this.sun, this.sun.target, new HemisphereLight("#ffffff", "#c9c4bb", 1.5), new AmbientLight("#ffffff", 0.25));
  }

  #ground() {
    const plane = new Mesh(new PlaneGeometry(60, 60), new ShadowMaterial({ opacity: 0.28, color: "#1d2433", depthWrite: false }));
    plane.rotation.x = -Math.PI / 2;
    plane.receiveShadow = true;
    this.grid = new Mesh(new PlaneGeometry(40, 40).rotateX(-Math.PI / 2), new ShaderMaterial({
      ...GRID, uniforms: { centre: { value: new Vector3() }, colour: { value: new Color(COLOURS.grid) } }, transparent: true, depthWrite: false,
    }));
    const path = new Float32Array(3 * this.frames);
    for (let t = 0; t < this.frames; t++) path.set([this.joints[3 * t * this.body.count], 0.004, this.joints[3 * t * this.body.count + 2]], 3 * t);
    this.trail = new BufferGeometry().setAttribute("position", new BufferAttribute(path, 3));
    const whole = new BufferGeometry().setAttribute("position", new BufferAttribute(path, 3));
    this.scene.add(
      this.grid, plane,
      new Line(whole, new LineBasicMaterial({ color: COLOURS.trail, transparent: true, opacity: 0.3 })),
      new Line(this.trail, new LineBasicMaterial({ color: COLOURS.trail })),
    );
    // contact: the nearer a foot is to the ground, the darker the spot below it
    this.spots = FEET.map(() => {
      const material = new MeshBasicMaterial({ map: spot(), transparent: true, depthWrite: false });
      const mesh = new Mesh(new PlaneGeometry(0.42, 0.42), material);
      mesh.rotation.x = -Math.PI / 2;
      mesh.position.y = 0.002;
      this.scene.add(mesh);
      return mesh;
    });
  }

  #figure(geometry) {
    this.bones = this.body.names.map(() => new Bone());
    const inverses = this.body.rest.map((place) => new Matrix4().makeTranslation(-place.x, -place.y, -place.z));
    this.mesh = new SkinnedMesh(geometry, new MeshStandardMaterial({ vertexColors: true, roughness: 0.62, metalness: 0 }));
    this.mesh.add(...this.bones);
    this.mesh.bind(new Skeleton(this.bones, inverses), new Matrix4());
    this.mesh.castShadow = this.mesh.receiveShadow = true;
    this.mesh.frustumCulled = false;
    const dark = new MeshStandardMaterial({ color: COLOURS.eyes, roughness: 0.3 });
    for (const side of [1, -1]) { // eyes: one sees where the head faces
      const eye = new Mesh(new SphereGeometry(0.013, 16, 12), dark);
      eye.position.set(side * 0.032, 0.088, 0.085);
      this.bones[this.body.named("head")].add(eye);
    }
    this.scene.add(this.mesh);
  }

  /** Distance from which a camera that follows sees all joints of all frames, whatever the direction and the shape. */
  #reach({ yaw, pitch }, aspect) {
    const key = [yaw.toFixed(2), pitch.toFixed(2), aspect.toFixed(2)].join();
    if (this.reaches.size > 50) this.reaches.clear();
    if (!this.reaches.has(key)) {
      const tangent = Math.tan((this.camera.fov * Math.PI) / 360);
      const [ax, ay, az] = this.#axes(yaw, pitch);
      let most = 0;
      const place = new Vector3();
      for (let t = 0; t < this.frames; t += 2) for (let j = 0; j < this.body.count; j++) {
        place.copy(this.body.point(this.joints, t, j)).sub(this.follow[t]);
        place.y -= this.floor;
        const across = Math.abs(place.dot(ax)) + MARGIN, up = Math.abs(place.dot(ay)) + MARGIN;
        most = Math.max(most, place.dot(az) + Math.max(across / aspect, up) / tangent);
      }
      this.reaches.set(key, most);
    }
    return this.reaches.get(key);
  }

  /** Axes of the camera in the world: right, up, towards the viewer. */
  #axes(yaw, pitch) {
    const back = new Vector3(Math.sin(yaw) * Math.cos(pitch), Math.sin(pitch), Math.cos(yaw) * Math.cos(pitch));
    const right = new Vector3(Math.cos(yaw), 0, -Math.sin(yaw));
    return [right, back.clone().cross(right), back];
  }

  draw(renderer, frame, aspect, turn) {
    const before = Math.floor(frame), after = Math.min(before + 1, this.frames - 1), part = frame - before;
    const now = this.body.pose(this.joints, before), next = part ? this.body.pose(this.joints, after) : now;
    this.bones.forEach((bone, joint) => {
      bone.position.copy(now.at[joint]).lerp(next.at[joint], part);
      bone.position.y -= this.floor;
      bone.quaternion.copy(now.rotations[joint]).slerp(next.rotations[joint], part);
    });
    const target = this.follow[before].clone().lerp(this.follow[after], part);
    this.spots.forEach((mesh, i) => {
      const foot = this.bones[this.body.named(FEET[i])].position;
      mesh.position.x = foot.x;
      mesh.position.z = foot.z;
      mesh.material.opacity = 0.5 * Math.max(0, 1 - Math.max(0, foot.y - 0.03) / 0.25) ** 2;
    });
    this.trail.setDrawRange(0, before + 1);
    this.grid.material.uniforms.centre.value.copy(target);
    this.sun.position.copy(target).add(new Vector3(1.6, 4.2, 2.0));
    this.sun.target.position.copy(target).setY(0);
    const back = this.#axes(turn.yaw, turn.pitch)[2];
    this.camera.position.copy(target).addScaledVector(back, this.#reach(turn, aspect) * turn.zoom);
    this.camera.lookAt(target);
    this.camera.aspect = aspect;
    this.camera.updateProjectionMatrix();
    renderer.render(this.scene, this.camera);
  }

  dispose() {
    this.scene.traverse((one) => {
      if (one.geometry && one !== this.mesh) one.geometry.dispose();
      one.material?.dispose();
    });
    this.mesh.skeleton.dispose();
    this.sun.dispose();
  }
}

/** Where the camera looks: half the height of the body above a smoothed path of the root. */
function smoothPath(body, joints, frames) {
  const width = 12; // frames to either side
  return Array.from({ length: frames }, (_, t) => {
    const sum = new Vector3();
    let total = 0;
    for (let s = Math.max(0, t - width); s <= Math.min(frames - 1, t + width); s++) {
      const weight = Math.exp(-0.5 * ((s - t) / 5) ** 2);
      sum.addScaledVector(body.point(joints, s, 0), weight);
      total += weight;
    }
    return sum.divideScalar(total).setY(0.86);
  });
}

let spotTexture;
function spot() {
  if (spotTexture) return spotTexture;
  const canvas = Object.assign(document.createElement("canvas"), { width: 64, height: 64 });
  const pen = canvas.getContext("2d");
  const fade = pen.createRadialGradient(32, 32, 0, 32, 32, 32);
  fade.addColorStop(0, "rgba(20,26,40,0.9)");
  fade.addColorStop(1, "rgba(20,26,40,0)");
  pen.fillStyle = fade;
  pen.fillRect(0, 0, 64, 64);
  spotTexture = new CanvasTexture(canvas);
  return spotTexture;
}
