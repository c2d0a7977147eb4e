// Sliders for a head's expressions, by what they move.

const GROUPS: Record<string, RegExp> = {
  Brows: /^brow/,
  Eyes: /^eye/,
  "Cheeks and nose": /^(cheek|nose)/,
  Jaw: /^jaw/,
  Mouth: /^mouth/,
};

export class Sliders {
  private readonly inputs: HTMLInputElement[];

  /**
   * @param place - What the sliders are put into.
   * @param names - ARKit's, of the expressions.
   * @param onMove - Told all weights whenever one is moved.
   */
  constructor(place: HTMLElement, names: string[], private readonly onMove: (weights: number[]) => void) {
    const rows = names.map((name, i) => makeRow(name, `weight-${i}`));
    this.inputs = rows.map((row) => row.querySelector("input")!);
    const isWide = matchMedia("(min-width: 46rem)").matches;
    place.replaceChildren(
      ...Object.entries(GROUPS).map(([title, pattern], i) => {
        const group = document.createElement("details");
        group.open = isWide || i === 0;
        group.append(Object.assign(document.createElement("summary"), { textContent: title }));
        group.append(...rows.filter((_, e) => pattern.test(names[e])));
        return group;
      }),
    );
    for (const input of this.inputs) {
      input.addEventListener("input", () => {
        tell(input);
        this.onMove(this.weights);
      });
    }
  }

  get weights(): number[] {
    return this.inputs.map((input) => Number(input.value));
  }

  /** Move all sliders, silently. */
  set weights(weights: ArrayLike<number>) {
    this.inputs.forEach((input, e) => {
      input.value = String(weights[e]);
      tell(input);
    });
  }
}

function makeRow(name: string, id: string): HTMLElement {
  const row = document.createElement("div");
  const label = Object.assign(document.createElement("label"), { textContent: words(name), htmlFor: id });
  const input = Object.assign(document.createElement("input"), { type: "range", id, min: "0", max: "1", step: "any" });
  input.dataset.name = name;
  input.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 0.05, ArrowUp: 0.05, ArrowLeft: -0.05, ArrowDown: -0.05 }[event.key];
    if (!step) return;
    event.preventDefault(); // the browser's own steps are fine for a mouse
    input.value = String(Number(input.value) + step);
    input.dispatchEvent(new Event("input", { bubbles: true }));
  });
  row.append(label, input, document.createElement("output"));
  return row;
}

function tell(input: HTMLInputElement): void {
  const percent = `${Math.round(100 * Number(input.value))} %`;
  input.setAttribute("aria-valuetext", percent);
  input.nextElementSibling!.textContent = percent;
}

/** eyeLookDownLeft → Eye look down, left. */
function words(name: string): string {
  const spaced = name.replace(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`).replace(/ (left|right)$/, ", $1");
  return spaced[0].toUpperCase() + spaced.slice(1);
}
