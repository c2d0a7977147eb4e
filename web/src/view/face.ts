// The face in 3D: the network's mesh, with its texture, the photo or none.

import * as THREE from "three";
import type { Matrix3 } from "../core/similarity";
import { coordinateColors, inverseOf, type Part, pictureTexture, type Shading, shadings, sharp, WIRE_COLOR } from "./looks";

const WIRE_STEP = 4; // map pixels between wires

export interface Topology {
  triangles: Uint32Array;
  vertexIndex: Uint32Array;
  canonical: Float32Array;
  size: number;
}

export class FaceMesh implements Part {
  readonly object = new THREE.Group();
  readonly reach = 1;
  toFrontal = new THREE.Quaternion();
  private readonly geometry = new THREE.BufferGeometry();
  private readonly mesh: THREE.Mesh;
  private readonly wires: THREE.LineSegments;
  private readonly uv: THREE.BufferAttribute;
  private readonly photoUv: THREE.BufferAttribute;
  private readonly materials: Record<Shading, THREE.Material>;

  constructor(topology: Topology) {
    const count = topology.vertexIndex.length;
    this.uv = new THREE.BufferAttribute(uvOf(topology), 2);
    this.photoUv = new THREE.BufferAttribute(new Float32Array(2 * count), 2);
    this.geometry.setIndex(new THREE.BufferAttribute(topology.triangles, 1));
    this.geometry.setAttribute("position", new THREE.BufferAttribute(new Float32Array(3 * count), 3));
    this.geometry.setAttribute("normal", new THREE.BufferAttribute(new Float32Array(3 * count), 3));
    this.geometry.setAttribute("uv", this.uv);
    this.geometry.setAttribute("color", new THREE.BufferAttribute(coordinateColors(topology.canonical), 3));
    this.materials = shadings(THREE.DoubleSide);
    this.mesh = new THREE.Mesh(this.geometry, this.materials.texture);
    this.wires = new THREE.LineSegments(
      wiresOf(this.geometry, topology), new THREE.LineBasicMaterial({ color: WIRE_COLOR }),
    );
    this.wires.visible = false;
    this.object.add(this.mesh, this.wires);
  }

  /**
   * Show a face.
   *
   * @param vertices - (V, 3) metres, y up, as `meshVertices` makes them.
   * @param rotation - Of its pose, which the slider takes away.
   */
  setShape(vertices: Float32Array, normals: Float32Array, rotation: Matrix3): void {
    this.write("position", vertices);
    this.write("normal", normals);
    this.geometry.computeBoundingSphere();
    this.toFrontal = inverseOf(rotation);
  }

  /** A texture in UV space, RGB. */
  setTexture(size: number, rgb: Uint8Array): void {
    const picture = { width: size, height: size, channels: 3, data: rgb };
    this.useTexture(pictureTexture(picture), this.uv);
  }

  /** The picture that the vertices lie in, as of a camera: quicker, but smeared where it grazes. */
  setPicture(picture: HTMLCanvasElement, vertices: Float32Array): void {
    const uv = this.photoUv.array as Float32Array;
    for (let v = 0; v < uv.length / 2; v++) {
      uv[2 * v] = (vertices[3 * v] + 0.5) / picture.width;
      uv[2 * v + 1] = (vertices[3 * v + 1] + 0.5) / picture.height;
    }
    this.photoUv.needsUpdate = true;
    const { map } = this.materials.texture as THREE.MeshBasicMaterial;
    if (map instanceof THREE.CanvasTexture && map.image === picture) map.needsUpdate = true;
    else {
      const texture = sharp(new THREE.CanvasTexture(picture));
      texture.flipY = false;
      this.useTexture(texture, this.photoUv);
    }
  }

  shade(shading: Shading): void {
    this.mesh.material = this.materials[shading];
    this.wires.visible = shading === "wireframe";
  }

  private useTexture(texture: THREE.Texture, uv: THREE.BufferAttribute): void {
    const material = this.materials.texture as THREE.MeshBasicMaterial;
    material.map?.dispose();
    material.map = texture;
    material.needsUpdate = true;
    this.geometry.setAttribute("uv", uv);
  }

  private write(name: string, values: Float32Array): void {
    const attribute = this.geometry.getAttribute(name) as THREE.BufferAttribute;
    (attribute.array as Float32Array).set(values);
    attribute.needsUpdate = true;
  }
}

function uvOf({ vertexIndex, size }: Topology): Float32Array {
  const uv = new Float32Array(2 * vertexIndex.length);
  vertexIndex.forEach((pixel, v) => {
    uv[2 * v] = ((pixel % size) + 0.5) / size;
    uv[2 * v + 1] = (Math.floor(pixel / size) + 0.5) / size;
  });
  return uv;
}

/** Every WIRE_STEP-th line of the map, sharing the mesh's vertices. */
function wiresOf(geometry: THREE.BufferGeometry, { vertexIndex, size }: Topology): THREE.BufferGeometry {
  const vertexOf = new Int32Array(size * size).fill(-1);
  vertexIndex.forEach((pixel, v) => (vertexOf[pixel] = v));
  const lines: number[] = [];
  vertexIndex.forEach((pixel, v) => {
    const row = Math.floor(pixel / size);
    const column = pixel % size;
    if (row % WIRE_STEP === 0 && column + 1 < size && vertexOf[pixel + 1] >= 0) lines.push(v, vertexOf[pixel + 1]);
    if (column % WIRE_STEP === 0 && row + 1 < size && vertexOf[pixel + size] >= 0) lines.push(v, vertexOf[pixel + size]);
  });
  const wires = new THREE.BufferGeometry();
  wires.setAttribute("position", geometry.getAttribute("position"));
  wires.setIndex(lines);
  return wires;
}
