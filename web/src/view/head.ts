// The head in 3D: turned by mouse, finger and keys, in four shadings.

import * as THREE from "three";
import { OrbitControls } from "three/examples/jsm/controls/OrbitControls.js";
import type { Matrix3 } from "../core/similarity";

export type Shading = "texture" | "shaded" | "wireframe" | "pncc";

const FIELD_DEG = 20;
const DISTANCE = 0.85; // metres, at which a face fills the picture
const WIRE_STEP = 4; // map pixels between wires
const KEY_STEP = Math.PI / 24;
const CLAY = 0xcdd0d6;

export interface Topology {
  triangles: Uint32Array;
  vertexIndex: Uint32Array;
  canonical: Float32Array;
  size: number;
}

export class HeadView {
  private readonly renderer: THREE.WebGLRenderer;
  private readonly scene = new THREE.Scene();
  private readonly camera = new THREE.PerspectiveCamera(FIELD_DEG, 1, 0.01, 10);
  private readonly controls: OrbitControls;
  private readonly head = new THREE.Group();
  private readonly geometry = new THREE.BufferGeometry();
  private readonly mesh: THREE.Mesh;
  private readonly wires: THREE.LineSegments;
  private readonly uv: THREE.BufferAttribute;
  private readonly photoUv: THREE.BufferAttribute;
  private readonly materials: Record<Shading, THREE.Material>;
  private toFrontal = new THREE.Quaternion();

  /** Throws where the browser can't draw in 3D. */
  constructor(private readonly canvas: HTMLCanvasElement, topology: Topology) {
    this.renderer = new THREE.WebGLRenderer({
      canvas, antialias: true, alpha: true, preserveDrawingBuffer: true,
    });
    const count = topology.vertexIndex.length;
    this.uv = new THREE.BufferAttribute(uvOf(topology), 2);
    this.photoUv = new THREE.BufferAttribute(new Float32Array(2 * count), 2);
    this.geometry.setIndex(new THREE.BufferAttribute(topology.triangles, 1));
    this.geometry.setAttribute("position", new THREE.BufferAttribute(new Float32Array(3 * count), 3));
    this.geometry.setAttribute("normal", new THREE.BufferAttribute(new Float32Array(3 * count), 3));
    this.geometry.setAttribute("uv", this.uv);
    this.geometry.setAttribute("color", new THREE.BufferAttribute(pnccOf(topology), 3));
    const side = THREE.DoubleSide;
    const hidden = { polygonOffset: true, polygonOffsetFactor: 1, polygonOffsetUnits: 1 };
    this.materials = {
      texture: new THREE.MeshBasicMaterial({ side }),
      shaded: new THREE.MeshStandardMaterial({ color: CLAY, roughness: 0.75, side }),
      wireframe: new THREE.MeshBasicMaterial({ color: 0x26323d, side, ...hidden }),
      pncc: new THREE.MeshBasicMaterial({ vertexColors: true, side }),
    };
    this.mesh = new THREE.Mesh(this.geometry, this.materials.texture);
    this.wires = new THREE.LineSegments(
      wiresOf(this.geometry, topology), new THREE.LineBasicMaterial({ color: 0x9fd0ff }),
    );
    this.wires.visible = false;
    this.head.add(this.mesh, this.wires);
    this.scene.add(this.head, new THREE.HemisphereLight(0xffffff, 0x555566, 1.2));
    const sun = new THREE.DirectionalLight(0xffffff, 2);
    sun.position.set(-0.35, 0.45, 0.82);
    this.scene.add(sun);
    this.controls = new OrbitControls(this.camera, canvas);
    this.controls.enablePan = false;
    this.controls.minDistance = DISTANCE / 4;
    this.controls.maxDistance = DISTANCE * 3;
    this.controls.addEventListener("change", () => this.render());
    canvas.addEventListener("keydown", (event) => this.onKey(event));
    new ResizeObserver(() => this.resize()).observe(canvas);
    this.reset();
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
    const matrix = new THREE.Matrix4();
    const [a, b, c] = rotation;
    matrix.set(...a, 0, ...b, 0, ...c, 0, 0, 0, 0, 1);
    this.toFrontal.setFromRotationMatrix(matrix).invert();
  }

  /** A texture in UV space, RGB. */
  setTexture(size: number, rgb: Uint8Array): void {
    const rgba = new Uint8Array(size * size * 4).fill(255);
    for (let i = 0; i < size * size; i++) rgba.set(rgb.subarray(3 * i, 3 * i + 3), 4 * i);
    this.useTexture(new THREE.DataTexture(rgba, size, size), this.uv);
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
      const texture = new THREE.CanvasTexture(picture);
      texture.flipY = false;
      this.useTexture(texture, this.photoUv);
    }
  }

  setShading(shading: Shading): void {
    this.mesh.material = this.materials[shading];
    this.wires.visible = shading === "wireframe";
    this.render();
  }

  /** 0 as in the photo, 1 looking straight ahead. */
  setFrontal(share: number): void {
    this.head.quaternion.identity().slerp(this.toFrontal, share);
    this.render();
  }

  reset(): void {
    this.camera.position.set(0, 0, DISTANCE);
    this.controls.target.set(0, 0, 0);
    this.controls.update();
    this.resize();
  }

  render(): void {
    this.renderer.render(this.scene, this.camera);
  }

  private useTexture(texture: THREE.Texture, uv: THREE.BufferAttribute): void {
    texture.colorSpace = THREE.SRGBColorSpace;
    texture.minFilter = texture.magFilter = THREE.LinearFilter;
    texture.generateMipmaps = false;
    texture.needsUpdate = true;
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

  private resize(): void {
    const { clientWidth: width, clientHeight: height } = this.canvas;
    if (!width || !height) return;
    this.renderer.setPixelRatio(Math.min(window.devicePixelRatio, 2));
    this.renderer.setSize(width, height, false);
    this.camera.aspect = width / height;
    this.camera.updateProjectionMatrix();
    this.render();
  }

  private onKey(event: KeyboardEvent): void {
    const place = new THREE.Spherical().setFromVector3(this.camera.position);
    const moves: Record<string, () => void> = {
      ArrowLeft: () => (place.theta -= KEY_STEP),
      ArrowRight: () => (place.theta += KEY_STEP),
      ArrowUp: () => (place.phi -= KEY_STEP),
      ArrowDown: () => (place.phi += KEY_STEP),
      "+": () => (place.radius /= 1.1),
      "=": () => (place.radius /= 1.1),
      "-": () => (place.radius *= 1.1),
      "0": () => place.set(DISTANCE, Math.PI / 2, 0),
    };
    const move = moves[event.key];
    if (!move || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    move();
    place.radius = Math.min(Math.max(place.radius, this.controls.minDistance), this.controls.maxDistance);
    this.camera.position.setFromSpherical(place.makeSafe());
    this.controls.update();
    this.render();
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

/** The mean face's coordinates as colors, each axis from 0 to 1. */
function pnccOf({ canonical }: Topology): Float32Array {
  const low = [Infinity, Infinity, Infinity];
  const high = [-Infinity, -Infinity, -Infinity];
  canonical.forEach((value, i) => {
    low[i % 3] = Math.min(low[i % 3], value);
    high[i % 3] = Math.max(high[i % 3], value);
  });
  const color = new THREE.Color();
  const colors = new Float32Array(canonical.length);
  for (let i = 0; i < canonical.length; i += 3) {
    const [r, g, b] = [0, 1, 2].map((c) => (canonical[i + c] - low[c]) / (high[c] - low[c]));
    color.setRGB(r, g, b, THREE.SRGBColorSpace).toArray(colors, i);
  }
  return colors;
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
