// The stage of the page: motions side by side, each in a view of its own. Figure and camera are those of `motion.show()`.

import table from "../../../mmm/viz/mannequin.json";
import { Clip, Stage as Canvas, grid } from "../../../mmm/viz/stage.js";

export { grid };

const YAW = 0.6; // radians: people are seen half from the front at first

export class Stage {
  constructor(canvas) {
    this.stage = new Canvas(canvas, table);
    this.canvas = canvas;
    this.clips = [];
    this.turn = { yaw: 0, pitch: 0.22, zoom: 1 };
  }

  /** Show motions side by side. @param motions [{ joints, frames }] */
  show(body, motions, fps) {
    this.clips = motions.map(({ joints }) => new Clip(body, joints, fps, table, YAW));
    this.draw(0);
  }

  /** Draw a frame; a view whose motion is shorter stays at its last frame. @param size of a square picture, in pixels */
  draw(frame, size) {
    const [width, height] = size ? [size, size] : [this.canvas.clientWidth, this.canvas.clientHeight];
    if (!width || !this.clips.length) return;
    this.stage.clear(width, height, size && 1);
    const [rows, columns] = grid(this.clips.length, width, height), [w, h] = [width / columns, height / rows];
    this.clips.forEach((clip, i) =>
      this.stage.draw(clip, Math.min(frame, clip.frames - 1), [(i % columns) * w, Math.floor(i / columns) * h, w, h], this.turn));
  }

  orbit(dx, dy) {
    this.turn.yaw -= dx;
    this.turn.pitch = Math.min(1.4, Math.max(0.03, this.turn.pitch + dy));
  }

  zoom(factor) {
    this.turn.zoom = Math.min(3, Math.max(0.5, this.turn.zoom * factor));
  }
}
