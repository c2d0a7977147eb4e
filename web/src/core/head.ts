// A whole head of a face, with named shapes to animate it by: src/prnet/head/head.py.

import { type Coefficients, fitBlendshapes, removePose } from "./blendshapes";
import { express, type HeadModel, type Target } from "./headModel";
import { paintBack, paintEye, paintLashes } from "./paint";
import type { Picture } from "./picture";
import { buildRig } from "./rig";
import type { Pose } from "./similarity";

export interface Head {
  neutral: Float32Array; // (V, 3) canonical frame, cm
  targets: Target[];
  weights: Float64Array; // the photo's expression
  textures: Record<string, Picture>; // by the material's name
}

/** What the head model says of a face. */
export const fitFace = (map: Float32Array, pose: Pose, model: HeadModel): Coefficients =>
  fitBlendshapes(removePose(map, pose), model);

/**
 * Make a head of a face.
 *
 * @param map - (M, M, 3) photo frame.
 * @param texture - The face's, complete.
 */
export function buildHead(
  map: Float32Array, pose: Pose, coefficients: Coefficients, texture: Picture, photo: Picture, model: HeadModel,
): Head {
  const { neutral, targets } = buildRig(removePose(map, pose), coefficients, model);
  const weights = coefficients.expression;
  const shown = express(neutral, targets, weights);
  const back = paintBack(shown, texture, photo, pose, model);
  const [left, right] = model.eyes.map((eye) =>
    paintEye(eye, `${eye.side.toLowerCase()} eye`, shown, photo, pose, model),
  );
  const textures = { face: texture, back, "left eye": left, "right eye": right, lashes: paintLashes(back) };
  return { neutral: Float32Array.from(neutral), targets, weights, textures };
}
