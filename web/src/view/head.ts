// The whole head in 3D: skin, eyes, teeth, tongue and lashes, moved by expressions.

import * as THREE from "three";
import { express } from "../core/headModel";
import { pick } from "../core/reconstruct";
import type { Matrix3, Vector3 } from "../core/similarity";
import { vertexNormals } from "../core/surface";
import type { SeenHead } from "../worker";
import { coordinateColors, inverseOf, matrixOf, type Part, pictureTexture, type Shading, shadings, WIRE_COLOR } from "./looks";

const CM = 0.01;

/**
 * The expressions are added up here, not in the vertex shader: 51 dense targets would take 49 MB of
 * a graphics card, and only some vertices move, only when a weight changes.
 */
export class HeadMesh implements Part {
  readonly object = new THREE.Group();
  readonly reach = 1.4;
  readonly toFrontal: THREE.Quaternion;
  private readonly geometry = new THREE.BufferGeometry();
  private readonly rows: Uint16Array; // vertex of each row of the geometry
  private readonly mesh: THREE.Mesh;
  private readonly wires: THREE.Mesh;
  private readonly materials: Record<Shading, THREE.Material[]>;

  /**
   * @param rotation - Of the face's pose.
   * @param centre - Where the face's mesh has its origin, canonical frame, cm.
   */
  constructor(private readonly head: SeenHead, rotation: Matrix3, centre: Vector3) {
    const { surfaces } = head;
    const all = <T extends Uint16Array | Float32Array>(Type: new (length: number) => T, parts: T[]): T => {
      const joined = new Type(parts.reduce((sum, part) => sum + part.length, 0));
      parts.reduce((offset, part) => (joined.set(part, offset), offset + part.length), 0);
      return joined;
    };
    this.rows = all(Uint16Array, surfaces.map((each) => each.vertices));
    const index: number[] = [];
    let first = 0;
    surfaces.forEach(({ vertices, triangles }, material) => {
      this.geometry.addGroup(index.length, triangles.length, material);
      for (const row of triangles) index.push(first + row);
      first += vertices.length;
    });
    const attribute = (values: Float32Array, size: number) => new THREE.BufferAttribute(values, size);
    this.geometry.setIndex(index);
    this.geometry.setAttribute("uv", attribute(all(Float32Array, surfaces.map((each) => each.uv)), 2));
    this.geometry.setAttribute("color", attribute(pick(coordinateColors(head.mean), this.rows), 3));
    for (const name of ["position", "normal"]) {
      this.geometry.setAttribute(name, attribute(new Float32Array(3 * this.rows.length), 3));
    }
    const looks = surfaces.map(({ name, color, roughness, is_thin: isThin }) => {
      const look = shadings(isThin ? THREE.DoubleSide : THREE.FrontSide);
      const map = color ? null : pictureTexture(head.textures[name]);
      // the skin's colors hold the photo's light already
      const isWet = roughness < 0.5;
      if (isWet) look.texture = new THREE.MeshStandardMaterial({ map, roughness });
      else look.texture.map = map;
      if (color) look.texture.color.setRGB(...color);
      if (isThin) {
        Object.assign(look.texture, { transparent: true, depthWrite: false });
        for (const shading of ["shaded", "wireframe", "pncc"] as const) look[shading].visible = false;
      }
      return look;
    });
    const of = (shading: Shading) => looks.map((look) => look[shading]);
    this.materials = { texture: of("texture"), shaded: of("shaded"), wireframe: of("wireframe"), pncc: of("pncc") };
    this.mesh = new THREE.Mesh(this.geometry, this.materials.texture);
    this.wires = new THREE.Mesh(
      this.geometry, new THREE.MeshBasicMaterial({ color: WIRE_COLOR, wireframe: true, transparent: true, opacity: 0.35 }),
    );
    this.wires.visible = false;
    const placed = new THREE.Group();
    placed.add(this.mesh, this.wires);
    placed.matrixAutoUpdate = false;
    placed.matrix
      .copy(matrixOf(rotation))
      .multiply(new THREE.Matrix4().makeScale(CM, CM, CM))
      .multiply(new THREE.Matrix4().makeTranslation(-centre[0], -centre[1], -centre[2]));
    this.object.add(placed);
    this.toFrontal = inverseOf(rotation);
    this.express(head.weights);
    this.geometry.computeBoundingSphere();
  }

  express(weights: ArrayLike<number>): void {
    const { neutral, targets, triangles } = this.head;
    const moved = Float32Array.from(express(neutral, targets, weights));
    this.write("position", moved);
    this.write("normal", vertexNormals(moved, triangles, true));
  }

  shade(shading: Shading): void {
    this.mesh.material = this.materials[shading];
    this.wires.visible = shading === "wireframe";
  }

  dispose(): void {
    this.geometry.dispose();
    for (const material of Object.values(this.materials).flat()) {
      (material as THREE.MeshBasicMaterial).map?.dispose();
      material.dispose();
    }
  }

  private write(name: string, values: Float32Array): void {
    const attribute = this.geometry.getAttribute(name) as THREE.BufferAttribute;
    (attribute.array as Float32Array).set(pick(values, this.rows));
    attribute.needsUpdate = true;
  }
}
