// A motion as the text of a BVH file. Joints as in HumanML3D.

import { Body as Bones, add, product, transpose } from "../../../mmm/viz/figure.js";

export class Body extends Bones {
  /** Centimetres, y up, a rigid body. */
  bvh(joints, fps) {
    const frames = joints.length / this.count / 3;
    const poses = Array.from({ length: frames }, (_, t) => this.pose(joints, t));
    const order = (joint) => (joint ? (Math.abs(this.directions[joint][0]) === 1 ? "ZXY" : "XYZ") : "YZX");
    const numbers = (vector) => vector.map((n) => (100 * n).toFixed(4)).join(" ");
    const lines = ["HIERARCHY"], listed = [];
    const write = (joint, tab) => {
      listed.push(joint);
      const channels = [...order(joint)].map((axis) => `${axis}rotation`).join(" ");
      lines.push(`${tab}${joint ? "JOINT" : "ROOT"} ${this.names[joint]}`, `${tab}{`, `${tab}\tOFFSET ${numbers(this.offsets[joint])}`,
        joint ? `${tab}\tCHANNELS 3 ${channels}` : `${tab}\tCHANNELS 6 Xposition Yposition Zposition ${channels}`);
      for (const child of this.children[joint]) write(child, `${tab}\t`);
      if (!this.children[joint].length) {
        lines.push(`${tab}\tEnd Site`, `${tab}\t{`, `${tab}\t\tOFFSET ${numbers(add([0, 0, 0], this.offsets[joint], 0.5))}`, `${tab}\t}`);
      }
      lines.push(`${tab}}`);
    };
    write(0, "");
    lines.push("MOTION", `Frames: ${frames}`, `Frame Time: ${(1 / fps).toFixed(8)}`);
    const last = {};
    for (const { at, rotations } of poses) {
      const row = [numbers(at[0])];
      for (const joint of listed) {
        const parent = rotations[this.parents[joint]], turn = rotations[joint];
        angles(parent ? product(transpose(parent), turn) : turn, order(joint)).forEach((degrees, i) => {
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

/** Degrees about the axes of XYZ, YZX or ZXY, each in the frame that the one before has turned. */
function angles(m, order) {
  const [i, j, k] = [...order].map((axis) => "XYZ".indexOf(axis)), sine = Math.min(1, Math.max(-1, m[i][k]));
  const whole = Math.abs(sine) < 0.9999999;
  const turns = whole ? [Math.atan2(-m[j][k], m[k][k]), Math.asin(sine), Math.atan2(-m[i][j], m[i][i])]
    : [Math.atan2(m[k][j], m[j][j]), Math.asin(sine), 0];
  return turns.map((radians) => (radians * 180) / Math.PI);
}
