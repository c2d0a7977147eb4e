// A file → the photo's pixels, as a viewer shows it; what can't be read is said in words.

const MOST_PIXELS = 64e6;

export interface Photo {
  name: string;
  pixels: ImageData;
}

export async function readPhoto(file: Blob, name: string): Promise<Photo> {
  if (!file.size) throw new Error(`${name} is empty.`);
  let bitmap: ImageBitmap;
  try {
    bitmap = await createImageBitmap(file, {
      imageOrientation: "from-image", colorSpaceConversion: "none", premultiplyAlpha: "none",
    });
  } catch {
    throw new Error(`${name} is not a photo that this browser can read. Try a JPEG or PNG file.`);
  }
  const { width, height } = bitmap;
  if (width * height > MOST_PIXELS) {
    const megapixels = Math.round((width * height) / 1e6);
    throw new Error(`${name} has ${megapixels} megapixels. This page reads up to ${MOST_PIXELS / 1e6}; make it smaller.`);
  }
  const canvas = new OffscreenCanvas(width, height);
  const context = canvas.getContext("2d", { willReadFrequently: true });
  if (!context) throw new Error(`There is not enough memory for ${name}. Make it smaller.`);
  context.fillStyle = "#fff"; // what is transparent lies over white, as in Python
  context.fillRect(0, 0, width, height);
  context.drawImage(bitmap, 0, 0);
  bitmap.close();
  return { name, pixels: context.getImageData(0, 0, width, height) };
}
