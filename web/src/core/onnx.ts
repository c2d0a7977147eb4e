// A network whose weights have 16 bits → the same with 32, for runtimes that can't widen them.
// An ONNX file is a protobuf message; numbers of fields are those of onnx.proto3.

const MODEL_GRAPH = 7;
const GRAPH_NODE = 1;
const GRAPH_INITIALIZER = 5;
const NODE = { input: 1, output: 2, type: 4 };
const TENSOR = { dims: 1, type: 2, name: 8, raw: 9 };
const FLOAT = 1;
const INT16 = 5;
const FLOAT16 = 10;
const LENGTH_DELIMITED = 2;

interface Field {
  number: number;
  value: number; // of a whole number
  content: Uint8Array; // of what has a length
  all: Uint8Array; // with its tag
}

const text = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);

/** Weights that are cast to 32 bits before their use are stored as that, and the casts go. */
export function widenWeights(model: Uint8Array): Uint8Array {
  return replaced(model, MODEL_GRAPH, (graph) => {
    const stored = new Map<string, Field[]>();
    for (const { content } of only(graph, GRAPH_INITIALIZER)) {
      const tensor = [...fields(content)];
      const type = tensor.find(({ number }) => number === TENSOR.type)?.value;
      const name = tensor.find(({ number }) => number === TENSOR.name);
      if (name && (type === FLOAT16 || type === INT16)) stored.set(text(name.content), tensor);
    }
    const wideName = new Map<string, Uint8Array>();
    const without = replaced(graph, GRAPH_NODE, (node) => {
      const of = (number: number) => only(node, number)[0]?.content ?? new Uint8Array();
      const input = text(of(NODE.input));
      if (text(of(NODE.type)) !== "Cast" || !stored.has(input)) return node;
      wideName.set(input, of(NODE.output));
      return null;
    });
    return replaced(without, GRAPH_INITIALIZER, (tensor) => {
      const name = text(only(tensor, TENSOR.name)[0].content);
      const wide = wideName.get(name);
      return wide ? widened(stored.get(name)!, wide) : tensor;
    });
  });
}

function widened(tensor: Field[], name: Uint8Array): Uint8Array {
  const raw = tensor.find(({ number }) => number === TENSOR.raw)?.content;
  if (!raw) throw new Error("The network's weights don't lie as raw data.");
  const isFloat = tensor.find(({ number }) => number === TENSOR.type)!.value === FLOAT16;
  const view = new DataView(raw.buffer, raw.byteOffset, raw.byteLength);
  const values = Float32Array.from({ length: raw.length / 2 }, (_, i) =>
    isFloat ? fromHalf(view.getUint16(2 * i, true)) : view.getInt16(2 * i, true),
  );
  return joined([
    ...tensor.filter(({ number }) => number === TENSOR.dims).map(({ all }) => all),
    Uint8Array.of(TENSOR.type << 3, FLOAT),
    delimited(TENSOR.name, name),
    delimited(TENSOR.raw, new Uint8Array(values.buffer)),
  ]);
}

function fromHalf(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 31;
  const fraction = bits & 1023;
  if (exponent === 31) return fraction ? NaN : sign * Infinity;
  return exponent ? sign * 2 ** (exponent - 15) * (1 + fraction / 1024) : sign * 2 ** -24 * fraction;
}

const only = (message: Uint8Array, number: number): Field[] =>
  [...fields(message)].filter((field) => field.number === number);

/** A message with other contents of one of its fields; without those that become null. */
function replaced(
  message: Uint8Array, number: number, change: (content: Uint8Array) => Uint8Array | null,
): Uint8Array {
  const parts: Uint8Array[] = [];
  for (const field of fields(message)) {
    const content = field.number === number ? change(field.content) : null;
    if (field.number !== number) parts.push(field.all);
    else if (content) parts.push(delimited(number, content));
  }
  return joined(parts);
}

function* fields(message: Uint8Array): Generator<Field> {
  let at = 0;
  const varint = (): number => {
    let value = 0;
    for (let factor = 1; ; factor *= 128) {
      const byte = message[at++];
      value += (byte & 127) * factor;
      if (byte < 128) return value;
    }
  };
  while (at < message.length) {
    const start = at;
    const tag = varint();
    const kind = tag & 7;
    const length = kind === 1 ? 8 : kind === 5 ? 4 : varint();
    const content = message.subarray(at, kind === 0 ? at : at + length);
    at += content.length;
    yield { number: Math.floor(tag / 8), value: length, content, all: message.subarray(start, at) };
  }
}

function delimited(number: number, content: Uint8Array): Uint8Array {
  const head = [(number << 3) | LENGTH_DELIMITED];
  let rest = content.length;
  for (; rest > 127; rest = Math.floor(rest / 128)) head.push((rest & 127) | 128);
  return joined([Uint8Array.from([...head, rest]), content]);
}

function joined(parts: Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  parts.reduce((offset, part) => (whole.set(part, offset), offset + part.length), 0);
  return whole;
}
