"use strict";
// Decisions are kept in this browser and written to a file on request; nothing is sent.
const cards = [...document.querySelectorAll(".doubt")];
const place = "labels2masks review " + document.querySelector(".doubts").dataset.review;
const remembered = (() => {
  try { return JSON.parse(localStorage.getItem(place)) || {}; } catch { return {}; }
})();

function count() {
  const done = cards.filter((card) => card.querySelector("input:checked")).length;
  document.getElementById("decided").textContent = done + " of " + cards.length + " decided";
}

function keep() {
  const made = {};
  for (const card of cards) {
    const chosen = card.querySelector("input:checked");
    const note = card.querySelector(".remark").value;
    card.dataset.decision = chosen ? chosen.value : "";
    if (chosen || note) made[card.id] = [chosen ? chosen.value : "", note];
  }
  try { localStorage.setItem(place, JSON.stringify(made)); } catch { /* a page that may not remember still works */ }
  count();
}

for (const card of cards) {
  const [decision, note] = remembered[card.id] || ["", ""];
  for (const input of card.querySelectorAll("input[type=radio]")) input.checked = input.value === decision;
  card.querySelector(".remark").value = note;
  card.addEventListener("input", keep);
}
keep();

function current() {
  const at = cards.findIndex((card) => card.contains(document.activeElement));
  return at >= 0 ? at : cards.findIndex((card) => card.getBoundingClientRect().bottom > window.innerHeight / 3);
}

function go(to) {
  const card = cards[Math.max(0, Math.min(cards.length - 1, to))];
  card.focus({ preventScroll: true });
  card.scrollIntoView({ block: "start" });
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.classList.contains("remark")) return;
  const at = current();
  if (event.key === "j") go(cards[at] && !cards[at].contains(document.activeElement) ? at : at + 1);
  else if (event.key === "k") go(at - 1);
  else if ("123".includes(event.key) && cards[at]) {
    const input = cards[at].querySelectorAll("input[type=radio]")[Number(event.key) - 1];
    input.checked = true;
    keep();
    go(at + 1);
  } else return;
  event.preventDefault();
});

function rows() {
  return cards.map((card) => ({
    ...JSON.parse(card.dataset.row),
    decision: card.dataset.decision,
    note: card.querySelector(".remark").value,
  }));
}

// A cell that begins like a formula is one to a spreadsheet: it gets a quote before it.
function cell(value) {
  const text = String(value ?? "").replace(/^(?=[=+@\t\r]|-(?![\d.]))/, "'");
  return /[",\n\r]/.test(text) ? '"' + text.replaceAll('"', '""') + '"' : text;
}

function save(name, type, text) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

document.getElementById("save-csv").addEventListener("click", () => {
  const made = rows();
  const columns = Object.keys(made[0] || {});
  const lines = [columns, ...made.map((row) => columns.map((column) => row[column]))];
  save("decisions.csv", "text/csv", lines.map((line) => line.map(cell).join(",")).join("\r\n") + "\r\n");
});
document.getElementById("save-json").addEventListener("click", () => {
  save("decisions.json", "application/json", JSON.stringify(rows(), null, 1) + "\n");
});
