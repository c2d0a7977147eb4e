// The picture in 3D: turned by mouse, finger and keys.

import * as THREE from "three";
import { OrbitControls } from "three/examples/jsm/controls/OrbitControls.js";
import type { Part, Shading } from "./looks";

const FIELD_DEG = 20;
const DISTANCE = 0.85; // metres, at which a face fills the picture
const KEY_STEP = Math.PI / 24;

export class Stage {
  private readonly renderer: THREE.WebGLRenderer;
  private readonly scene = new THREE.Scene();
  private readonly camera = new THREE.PerspectiveCamera(FIELD_DEG, 1, 0.01, 10);
  private readonly controls: OrbitControls;
  private part: Part | null = null;
  private shading: Shading = "texture";
  private frontal = 0;
  private reach = 1;

  /** Throws where the browser can't draw in 3D. */
  constructor(private readonly canvas: HTMLCanvasElement) {
    this.renderer = new THREE.WebGLRenderer({
      canvas, antialias: true, alpha: true, preserveDrawingBuffer: true,
    });
    this.scene.add(new THREE.HemisphereLight(0xffffff, 0x66605c, 1.2));
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
    this.camera.position.set(0, 0, DISTANCE);
    this.controls.update();
    this.resize();
  }

  /** Show this in place of what was shown, from where that was seen. */
  show(part: Part): void {
    if (this.part) this.scene.remove(this.part.object);
    this.part = part;
    this.scene.add(part.object);
    part.shade(this.shading);
    this.camera.position.multiplyScalar(part.reach / this.reach);
    this.reach = part.reach;
    this.controls.update();
    this.setFrontal(this.frontal);
  }

  setShading(shading: Shading): void {
    this.shading = shading;
    this.part?.shade(shading);
    this.render();
  }

  /** 0 as in the photo, 1 looking straight ahead. */
  setFrontal(share: number): void {
    this.frontal = share;
    this.part?.object.quaternion.identity().slerp(this.part.toFrontal, share);
    this.render();
  }

  render(): void {
    this.renderer.render(this.scene, this.camera);
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
      "0": () => place.set(DISTANCE * this.reach, Math.PI / 2, 0),
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
