// The camera: frames as they come, each handed on when the one before is done.

const LONGER_SIDE = 640;

export class Camera {
  private stream: MediaStream | null = null;
  private readonly video = document.createElement("video");
  private readonly canvas = new OffscreenCanvas(1, 1);

  get isOn(): boolean {
    return this.stream !== null;
  }

  /** Starts it; throws in words if there is none or it may not be used. */
  async start(): Promise<void> {
    if (!navigator.mediaDevices?.getUserMedia) {
      throw new Error("The camera works on pages from https or from this computer alone.");
    }
    try {
      this.stream = await navigator.mediaDevices.getUserMedia({
        video: { facingMode: "user", width: { ideal: LONGER_SIDE } },
      });
    } catch (error) {
      const { name } = error as DOMException;
      const reasons: Record<string, string> = {
        NotAllowedError: "The camera may not be used: allow it in the browser's settings for this page.",
        NotFoundError: "No camera was found.",
        NotReadableError: "The camera is used by another program.",
      };
      throw new Error(reasons[name] ?? `The camera could not be started (${name}).`);
    }
    this.video.srcObject = this.stream;
    this.video.playsInline = this.video.muted = true;
    await this.video.play();
  }

  stop(): void {
    for (const track of this.stream?.getTracks() ?? []) track.stop();
    this.stream = null;
    this.video.srcObject = null;
  }

  /** The frame of now. */
  frame(): ImageData {
    const { videoWidth, videoHeight } = this.video;
    const scale = Math.min(1, LONGER_SIDE / Math.max(videoWidth, videoHeight));
    this.canvas.width = Math.max(Math.round(videoWidth * scale), 1);
    this.canvas.height = Math.max(Math.round(videoHeight * scale), 1);
    const context = this.canvas.getContext("2d", { willReadFrequently: true })!;
    context.drawImage(this.video, 0, 0, this.canvas.width, this.canvas.height);
    return context.getImageData(0, 0, this.canvas.width, this.canvas.height);
  }
}
