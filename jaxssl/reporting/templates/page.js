"use strict";

const valueOf = (cell, kind) => {
  const text = cell.dataset.value ?? cell.textContent.trim();
  return kind === "number" ? parseFloat(text) : text.toLowerCase();
};

const compare = (a, b, kind) => {
  if (kind === "text") return a.localeCompare(b, undefined, { numeric: true });
  if (Number.isNaN(a) || Number.isNaN(b)) return Number.isNaN(a) - Number.isNaN(b);
  return a - b;
};

for (const button of document.querySelectorAll("[data-sort]")) {
  button.addEventListener("click", () => {
    const header = button.closest("th");
    const body = header.closest("table").tBodies[0];
    const place = header.cellIndex;
    const kind = button.dataset.sort;
    const before = header.getAttribute("aria-sort");
    const down = before ? before === "ascending" : kind === "number";
    for (const other of header.parentElement.cells) other.removeAttribute("aria-sort");
    header.setAttribute("aria-sort", down ? "descending" : "ascending");
    const rows = [...body.rows].sort((one, two) => {
      const a = valueOf(one.cells[place], kind);
      const b = valueOf(two.cells[place], kind);
      const unknown = kind === "number" && (Number.isNaN(a) || Number.isNaN(b));
      return down && !unknown ? compare(b, a, kind) : compare(a, b, kind);
    });
    body.append(...rows);
  });
}

const enlarged = document.getElementById("enlarged");
const stage = enlarged.querySelector("div");
let shown = null;

const enlarge = (element) => {
  shown = element;
  stage.replaceChildren(...[...element.childNodes].map((node) => node.cloneNode(true)));
  const named = element.closest("[aria-label]") ?? element.querySelector("[aria-label]");
  if (named && !element.querySelector("figcaption")) {
    const caption = document.createElement("p");
    caption.textContent = named.getAttribute("aria-label");
    stage.append(caption);
  }
  if (!enlarged.open) enlarged.showModal();
};

const step = (by) => {
  const all = [...shown.closest("figure:not(.tile), section").querySelectorAll("[data-zoom]")];
  enlarge(all[(all.indexOf(shown) + by + all.length) % all.length]);
};

for (const element of document.querySelectorAll("[data-zoom]")) {
  element.addEventListener("click", () => enlarge(element));
  element.addEventListener("keydown", (event) => {
    if (event.key === "Enter") enlarge(element);
  });
}
enlarged.addEventListener("click", () => enlarged.close());
enlarged.addEventListener("close", () => shown.focus());
enlarged.addEventListener("keydown", (event) => {
  if (event.key === "ArrowRight") step(1);
  if (event.key === "ArrowLeft") step(-1);
});
